"""A source tree is fetched from a real server or repository, checked against its pin, and unpacked once."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer

from tests.unit.image_programs.conftest import EPOCH, Fetch, fetch, names
from tests.unit.image_programs.programs import COMMON

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="curl fetches the sources")


def tarball(files: dict[str, str], top: str = "source-1.0") -> bytes:
    """A .tar.gz as projects publish it: all below one folder, with a link and a date of its own."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size, member.mtime, member.mode = len(text), 1_000_000_000, 0o755 if name.endswith(".sh") else 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
        link = tarfile.TarInfo(f"{top}/link")
        link.type, link.linkname = tarfile.SYMTYPE, "nowhere"
        tar.addfile(link)
    return buffer.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def source(httpserver: HTTPServer) -> tuple[str, str]:
    """A tarball on a server: its pin and its address."""
    content = tarball({"setup.py": "1\n", "src/a b.cpp": "int a;\n", "run.sh": "true\n"})
    httpserver.expect_request("/source-1.0.tar.gz").respond_with_data(content)
    return sha256(content), httpserver.url_for("/source-1.0.tar.gz")


# -- tarballs


def test_a_tarball_is_unpacked_with_modes_links_and_one_date(fetched: Fetch, source: tuple[str, str]) -> None:
    tree = fetched(source[0], "tarball", source[1])
    assert names(tree) == {"setup.py", "src/a b.cpp", "run.sh", "link", ".arrstack-fetched", ".arrstack-lock"}
    assert (os.readlink(tree / "link"), (tree / "run.sh").stat().st_mode & 0o777) == ("nowhere", 0o755)
    dated = [path for path in tree.rglob("*") if not path.name.startswith(".arrstack-")]
    assert {path.lstat().st_mtime for path in dated} == {EPOCH}


def test_a_complete_tree_is_not_fetched_again(
    fetched: Fetch, source: tuple[str, str], httpserver: HTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = fetched(source[0], "tarball", source[1])
    (tree / "made by the build").touch()
    fetched(source[0], "tarball", source[1])
    assert capsys.readouterr().out == f"fetch: {tree} is complete\n"
    assert (tree / "made by the build").exists()
    assert len(httpserver.log) == 1


@pytest.mark.parametrize("other", ["version", "profile", "plan"])
def test_a_stamp_of_another_version_profile_or_plan_is_not_this_tree_s(
    other: str, fetched: Fetch, source: tuple[str, str], httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = fetched(source[0], "tarball", source[1])
    (tree / "build").mkdir()
    (tree / "build/old.o").touch()
    if other == "version":
        content = tarball({"new.py": "2\n"})
        httpserver.expect_request("/source-2.0.tar.gz").respond_with_data(content)
        fetched(sha256(content), "tarball", httpserver.url_for("/source-2.0.tar.gz"))
    else:
        (tmp_path / "profile.env").write_text("USE_X=2\n") if other == "profile" else monkeypatch.setenv("COMPILE_PLAN", "none")
        fetched(source[0], "tarball", source[1])
    kept = {"new.py"} if other == "version" else {"setup.py", "src/a b.cpp", "run.sh"}
    assert names(tree) == kept | {"link", ".arrstack-fetched", ".arrstack-lock"}


def test_a_wrong_checksum_is_refused_and_leaves_no_stamp(fetched: Fetch, source: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(
        SystemExit, match=r"error: source-1\.0\.tar\.gz is not the file that stack\.toml pins \(sha256 0+\): it is"
    ):
        fetched("0" * 64, "tarball", source[1])
    assert names(tmp_path / "a tree") == {".arrstack-lock"}


def test_a_server_that_fails_once_is_asked_again(fetched: Fetch, httpserver: HTTPServer) -> None:
    content = tarball({"setup.py": "1\n"})
    httpserver.expect_ordered_request("/x.tar.gz").respond_with_data("busy", status=503)
    httpserver.expect_ordered_request("/x.tar.gz").respond_with_data(content)
    assert "setup.py" in names(fetched(sha256(content), "tarball", httpserver.url_for("/x.tar.gz")))


def test_a_file_that_left_the_archive_is_named(fetched: Fetch, httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "CURL", ("curl", "-fsSL"))  # without waiting for the server to change its mind
    with pytest.raises(SystemExit, match=r"error: cannot fetch http://\S+/gone\.tar\.gz: the pin in stack\.toml may have left"):
        fetched("0" * 64, "tarball", httpserver.url_for("/gone.tar.gz"))


def test_an_unpacking_that_was_killed_begins_anew(source: tuple[str, str], tmp_path: Path) -> None:
    """The program is killed by its own tar, half way: what it left is removed, and no stamp says that it is complete."""
    tools, tree = tmp_path / "tools", tmp_path / "tree"
    tools.mkdir()
    (tools / "tar").write_text(f'#!/bin/sh\n{shutil.which("tar")} "$@" source-1.0/setup.py\nkill -9 $PPID\n')
    (tools / "tar").chmod(0o755)
    (tmp_path / "profile.env").touch()
    call = "import sys; from pathlib import Path; import fetch; fetch.main(Path(sys.argv[1]), *sys.argv[2:4], sys.argv[4:5], Path(sys.argv[5]))"
    command = [sys.executable, "-c", call, str(tree), source[0], "tarball", source[1], str(tmp_path / "profile.env")]
    environment = os.environ | {"PYTHONPATH": str(COMMON), "SOURCE_DATE_EPOCH": str(EPOCH), "no_proxy": "*"}
    killed = subprocess.run(command, env=environment | {"PATH": f"{tools}:{os.environ['PATH']}"})
    assert killed.returncode == -9
    assert [name for name in names(tree) if name.endswith("/setup.py")], "nothing was unpacked before the kill"
    assert not (tree / ".arrstack-fetched").exists()
    subprocess.run(command, env=environment, check=True)
    assert names(tree) == {"setup.py", "src/a b.cpp", "run.sh", "link", ".arrstack-fetched"}


def test_the_stamp_goes_first_when_a_tree_is_removed(
    fetched: Fetch, source: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A removal that ends half way must not leave a tree that counts as complete."""
    tree = fetched(source[0], "tarball", source[1])

    def full(path: Path) -> None:
        raise OSError(f"interrupted at {path}")

    monkeypatch.setattr(shutil, "rmtree", full)
    with pytest.raises(OSError, match="interrupted"):
        fetch.clear(tree)
    assert not (tree / ".arrstack-fetched").exists()


# -- pins and sources that are none


@pytest.mark.parametrize(
    ("pin", "source", "message"),
    [
        (
            "",
            "git https://host/x v1",
            "there is no pin for the source 'git https://host/x v1': give the commit that its tag names",
        ),
        ("a" * 64, "git https://host/x v1", f"'{'a' * 64}' is no pin for the source 'git https://host/x v1': give the commit"),
        (
            "v1",
            "tarball https://host/x.tar.gz",
            "'v1' is no pin for the source 'tarball https://host/x.tar.gz': give the SHA-256",
        ),
        (
            "",
            "debian hello 1.0",
            "there is no pin for the source 'debian hello 1.0': give the SHA-256 of its file, 64 hexadecimal",
        ),
        (
            "a" * 64,
            "zip https://host/x.zip",
            "no source: 'zip https://host/x.zip'; a source is debian PACKAGE VERSION, orig FILE",
        ),
        ("a" * 40, "git https://host/x", "no source: 'git https://host/x'; a source is"),
    ],
)
def test_a_source_that_nothing_pins_or_nobody_knows_is_refused_and_the_tree_stays(
    pin: str, source: str, message: str, fetched: Fetch, tmp_path: Path
) -> None:
    (tmp_path / "a tree/kept").touch()
    with pytest.raises(SystemExit) as refused:
        fetched(pin, *source.split())
    assert str(refused.value).startswith(f"error: {message}")
    assert (tmp_path / "a tree/kept").exists()


def test_a_call_without_a_source_says_how_it_is_called() -> None:
    called = subprocess.run([sys.executable, COMMON / "fetch.py", "/tree"], capture_output=True, text=True)
    assert called.returncode == 1
    assert "a directory, a pin and a source are needed" in called.stderr
    assert "git URL TAG" in called.stderr


# -- Debian's archive


@pytest.mark.parametrize(
    "texts",
    [
        ["# deb http://commented/\ndeb [signed-by=/usr/share/k.gpg arch=amd64] http://archive/debian trixie main\n"],
        ["", "Types: deb\n# URIs: http://commented\nURIs: http://archive/debian/\nSuites: trixie\n"],
        ["deb file:/local trixie main\ndeb http://archive/debian trixie main\ndeb http://second trixie main\n"],
    ],
)
def test_the_archive_is_the_first_that_apt_itself_asks(texts: list[str]) -> None:
    assert fetch.archive(texts) == "http://archive/debian"


def test_sources_without_an_archive_are_an_error() -> None:
    with pytest.raises(fetch.FetchError, match="name no http archive"):
        fetch.archive(["deb file:/local trixie main\n"])


@pytest.mark.parametrize(("package", "folder"), [("pytorch", "pool/main/p/pytorch"), ("libuv1", "pool/main/libu/libuv1")])
def test_a_source_package_has_its_folder_in_the_pool(package: str, folder: str) -> None:
    assert fetch.pool(package) == folder


PATCH = "--- a/greeting.c\n+++ b/greeting.c\n@@ -1 +1 @@\n-{}\n+{}\n"
DEBIAN = {
    "source/format": "3.0 (quilt)\n",
    "changelog": "hello (1.0-1) unstable; urgency=low\n\n  * x\n\n -- a <a@b>  Thu, 01 Jan 2026 00:00:00 +0000\n",
    "patches/series": "0001-first.patch\n# a comment\n2000-version.patch\n\n0002-second.patch\n",
    "patches/0001-first.patch": PATCH.format("plain", "first"),
    "patches/2000-version.patch": PATCH.format("first", "version"),
    "patches/0002-second.patch": PATCH.format("first", "second"),
}


def publish(httpserver: HTTPServer, debian: dict[str, str], spoiled: str = "") -> str:
    """Puts the source package hello 1.0-1 on the server, one file of it spoiled. Returns the SHA-256 of its .dsc."""
    files = {
        "hello_1.0.orig.tar.gz": tarball({"greeting.c": "plain\n"}, "hello-1.0"),
        "hello_1.0-1.debian.tar.gz": tarball(debian, "debian"),
    }
    sums = {"Checksums-Sha256": "sha256", "Files": "md5"}
    lists = "".join(
        f"{field}:\n"
        + "".join(f" {hashlib.new(kind, content).hexdigest()} {len(content)} {name}\n" for name, content in files.items())
        for field, kind in sums.items()
    )
    head = "Format: 3.0 (quilt)\nSource: hello\nBinary: hello\nArchitecture: any\nVersion: 1.0-1\nMaintainer: a <a@b>\n"
    files["hello_1.0-1.dsc"] = (head + lists).encode()
    for name, content in files.items():
        served = content + b"spoiled" if name == spoiled else content
        httpserver.expect_request(f"/debian/pool/main/h/hello/{name}").respond_with_data(served)
    return sha256(files["hello_1.0-1.dsc"])


needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-source"), reason="dpkg-source unpacks a source package")


@needs_dpkg
def test_a_source_package_gets_its_patches_but_that_of_the_version(fetched: Fetch, httpserver: HTTPServer) -> None:
    tree = fetched(publish(httpserver, DEBIAN), "debian", "hello", "1.0-1")
    assert (tree / "greeting.c").read_text() == "second\n"
    assert (tree / "greeting.c").stat().st_mtime == EPOCH
    assert {name for name in names(tree) if "/" not in name} == {"greeting.c", "link", ".arrstack-fetched", ".arrstack-lock"}


@needs_dpkg
def test_a_patch_that_does_not_apply_is_named_with_what_patch_said(
    fetched: Fetch, httpserver: HTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    other = DEBIAN | {"patches/0002-second.patch": PATCH.format("something else", "second")}
    with pytest.raises(SystemExit, match=r"error: patch .*0002-second\.patch: ended with status 1"):
        fetched(publish(httpserver, other), "debian", "hello", "1.0-1")
    assert "FAILED" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["hello_1.0-1.dsc", "hello_1.0.orig.tar.gz", "hello_1.0-1.debian.tar.gz"])
def test_each_file_of_a_source_package_is_checked(name: str, fetched: Fetch, httpserver: HTTPServer) -> None:
    with pytest.raises(SystemExit, match=f"error: {name} is not the file that stack.toml pins"):
        fetched(publish(httpserver, DEBIAN, spoiled=name), "debian", "hello", "1.0-1")


def test_an_original_tarball_comes_without_debian_s_part(fetched: Fetch, httpserver: HTTPServer) -> None:
    publish(httpserver, DEBIAN)
    content = tarball({"greeting.c": "plain\n"}, "hello-1.0")
    tree = fetched(sha256(content), "orig", "hello_1.0.orig.tar.gz")
    assert names(tree) == {"greeting.c", "link", ".arrstack-fetched", ".arrstack-lock"}
