"""Vulnerabilities: what the archive and a database say, what is left out, and what is unknown."""

import gzip
import hashlib
import io
import json
import lzma
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrstack.contents.advisories import osv, security_archive
from arrstack.contents.advisories.assessment import Vulnerability, assess, rules_in
from arrstack.contents.advisories.changelog import changelog_in, cves_between
from arrstack.contents.advisories.debian_version import DebianVersion
from arrstack.contents.advisories.security_archive import UNNAMED, ask, security_archives
from arrstack.contents.advisories.sources_list import Archive, archives
from arrstack.contents.collect import take_inventory
from arrstack.contents.inventory import Inventory
from arrstack.errors import ConfigError, RegistryError
from tests.unit.artifacts.archives import Entries
from tests.unit.contents.images import SITE, image

STATUS = """\
Package: libssl3
Status: install ok installed
Architecture: amd64
Source: openssl
Version: 3.0.1-1
Section: libs

Package: libcuda
Status: install ok installed
Architecture: amd64
Version: 12.4-1
Section: non-free/libs
"""
CHANGELOG = """\
openssl (3.0.3-1) trixie-security; urgency=high

  * CVE-2026-1111, CVE-2026-2222: overflow

 -- A <a@example.org>  Mon, 01 Jan 2026 00:00:00 +0000

openssl (3.0.2-1) trixie; urgency=medium

  * Fix CVE-2025-0003

openssl (3.0.1-1) trixie; urgency=medium

  * CVE-2024-0001 was mended before
"""
SOURCES = b"deb http://archive.example/debian trixie main\ndeb [signed-by=/k] http://security.example/debian-security trixie-security main\n"


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    layer = (
        Entries()
        .file("etc/os-release", b"ID=debian\nVERSION_ID=13\n")
        .file("etc/apt/sources.list", SOURCES)
        .file("var/lib/dpkg/status", STATUS.encode())
        .file(f"{SITE}/torch-2.6.0.dist-info/METADATA", b"Name: torch\nVersion: 2.6.0+cpu\n")
    )
    return take_inventory(image(tmp_path / "i", [layer]))


def deb(files: dict[str, bytes]) -> bytes:
    """A package file (deb(5)) with these files."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))

    def member(name: str, content: bytes) -> bytes:
        return f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)

    return (
        b"!<arch>\n" + member("debian-binary", b"2.0\n") + member("control.tar.xz", b"") + member("data.tar.xz", data.getvalue())
    )


def archive(package: bytes | None, digest: str = "", version: str = "3.0.3-1") -> Callable[[str, int], bytes]:
    """An archive with one newer package; None: its file is not handed out."""
    held = package or b""
    index = (
        f"Package: libssl3\nSource: openssl\nVersion: {version}\nFilename: pool/libssl3.deb\nSize: {len(held)}\n"
        f"SHA256: {digest or hashlib.sha256(held).hexdigest()}\n\nPackage: other\nVersion: 9\nFilename: pool/o.deb\nSize: 1\n"
    )

    def fetch(url: str, limit: int) -> bytes:
        if url == "http://security.example/debian-security/dists/trixie-security/main/binary-amd64/Packages.xz":
            return lzma.compress(index.encode())
        if url == "http://security.example/debian-security/pool/libssl3.deb" and package is not None:
            assert limit == len(package)
            return package
        raise RegistryError(f"{url} is not there")

    return fetch


WITH_CHANGELOG = deb({"usr/share/doc/libssl3/changelog.Debian.gz": gzip.compress(CHANGELOG.encode())})


def asked(inventory: Inventory, fetch: Callable[[str, int], bytes]) -> list[str]:
    return [each.id for each in ask(inventory, security_archives(inventory), fetch).found]


# -- the archive


def test_only_the_security_suites_of_the_image_s_own_lists_are_asked(inventory: Inventory) -> None:
    assert security_archives(inventory) == [Archive("http://security.example/debian-security", "trixie-security", ("main",))]


def test_both_forms_of_a_list_are_read() -> None:
    text = "Types: deb deb-src\nURIs: http://a.example/d\nSuites: trixie trixie-security\nComponents: main contrib\n\nTypes: deb-src\nURIs: http://b.example\nSuites: x\n"
    assert list(archives("etc/apt/sources.list.d/debian.sources", text)) == [
        Archive("http://a.example/d", "trixie", ("main", "contrib")),
        Archive("http://a.example/d", "trixie-security", ("main", "contrib")),
    ]


def test_the_cves_between_the_installed_and_the_newest_version_count(inventory: Inventory) -> None:
    assert asked(inventory, archive(WITH_CHANGELOG)) == ["CVE-2025-0003", "CVE-2026-1111", "CVE-2026-2222"]


def test_a_package_that_is_as_new_has_none(inventory: Inventory) -> None:
    assert asked(inventory, archive(WITH_CHANGELOG, version="3.0.1-1")) == []


@pytest.mark.parametrize("package", [None, b"", b"no package", deb({}), WITH_CHANGELOG[:-200]])
def test_an_update_whose_changelog_cannot_be_read_counts_as_one(inventory: Inventory, package: bytes | None) -> None:
    answer = ask(inventory, security_archives(inventory), archive(package))
    assert [each.id for each in answer.found] == [UNNAMED]
    assert "openssl could not be read" in answer.coverage.limits


def test_a_package_file_with_another_digest_is_not_read(inventory: Inventory) -> None:
    assert asked(inventory, archive(WITH_CHANGELOG, digest="0" * 64)) == [UNNAMED]


@pytest.mark.parametrize("data", [b"", b"<html>", lzma.compress(b"\0" * 5000), lzma.compress(b"Package: a\n")[:-9]])
def test_an_index_that_is_none_is_an_error_or_says_nothing(inventory: Inventory, data: bytes) -> None:
    try:
        answer = ask(inventory, security_archives(inventory), lambda url, limit: data)
    except RegistryError as error:
        assert "no index of packages" in error.message
    else:
        assert answer.found == ()


def test_an_index_that_unpacks_to_a_bomb_is_given_up(inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security_archive, "LARGEST_INDEX_TEXT", 1 << 20)
    bomb = lzma.compress(b"Package: a\n" * 500_000)
    with pytest.raises(RegistryError, match="unpacks to more than"):
        ask(inventory, security_archives(inventory), lambda url, limit: bomb)


def test_an_archive_that_does_not_answer_is_an_error_and_no_all_clear(inventory: Inventory) -> None:
    def fetch(url: str, limit: int) -> bytes:
        raise RegistryError("no network")

    with pytest.raises(RegistryError):
        asked(inventory, fetch)


def test_sections_that_get_no_security_updates_are_not_said_to_be_known(inventory: Inventory) -> None:
    answer = ask(inventory, security_archives(inventory), archive(WITH_CHANGELOG))
    assert answer.known == {"deb libssl3:amd64"}


def test_a_changelog_is_read_out_of_a_package_whatever_packs_it() -> None:
    assert changelog_in(WITH_CHANGELOG, "libssl3") == CHANGELOG
    assert changelog_in(WITH_CHANGELOG, "other") is None
    assert cves_between("", "1", "2") == cves_between("x\n" * 1000, "1", "2") == []


# -- versions


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ("1.0~rc1-1", "1.0-1"),
        ("1.0-1", "1:0.1-1"),
        ("1.9", "1.10"),
        ("1.0", "1.0a"),
        ("1.0a", "1.0+b"),
        ("3.5.1-1", "3.5.1-1~deb13u1+x"),
        ("2.41-12", "2.41-12+deb13u5"),
        ("1.0-1~deb13u1", "1.0-1"),
        ("", "0a"),
    ],
)
def test_versions_are_ordered_as_debian_orders_them(low: str, high: str) -> None:
    if (low, high) == ("3.5.1-1", "3.5.1-1~deb13u1+x"):
        low, high = high, low
    assert DebianVersion(low) < DebianVersion(high)
    assert DebianVersion(low) == DebianVersion(low)


def test_a_revision_that_is_absent_is_nought() -> None:
    assert DebianVersion("1.0") == DebianVersion("1.0-0")
    assert DebianVersion("1.0") < DebianVersion("1.0-0a")


VERSION = st.from_regex(r"([0-9]:)?[0-9][0-9a-c+~.]{0,6}(-[0-9a-c+~.]{1,4})?", fullmatch=True)


@pytest.mark.skipif(not shutil.which("dpkg"), reason="there is no dpkg")
@given(VERSION, VERSION)
def test_dpkg_agrees(one: str, other: str) -> None:
    ours = DebianVersion(one) < DebianVersion(other)
    assert ours == (subprocess.run(["dpkg", "--compare-versions", one, "lt", other]).returncode == 0)


@given(st.text(), st.text())
def test_any_text_is_a_version(one: str, other: str) -> None:
    assert (DebianVersion(one) < DebianVersion(other)) + (DebianVersion(other) < DebianVersion(one)) <= 1


# -- a database in a file


def entry(name: str, ecosystem: str, events: list[dict[str, str]], **more: object) -> dict[str, object]:
    affected = {"package": {"ecosystem": ecosystem, "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    return {"id": "GHSA-1", "aliases": ["CVE-2026-5"], "affected": [affected], **more}


def found(inventory: Inventory, tmp_path: Path, *entries: dict[str, object]) -> list[tuple[str, str, str]]:
    path = tmp_path / "osv.json"
    path.write_text(json.dumps(list(entries)))
    return [(each.id, each.package, each.fixed) for each in osv.ask(inventory, path).found]


@pytest.mark.parametrize(
    ("events", "fixed"),
    [
        ([{"introduced": "0"}, {"fixed": "2.6.1"}], "2.6.1"),
        ([{"introduced": "0"}, {"fixed": "2.6.0"}], None),
        ([{"introduced": "2.6.0"}], ""),
        ([{"introduced": "2.6.1"}], None),
        ([{"introduced": "0"}, {"last_affected": "2.6.0"}], ""),
        ([{"introduced": "0"}, {"last_affected": "2.5.9"}], None),
        ([{"introduced": "0"}, {"fixed": "1.0"}, {"introduced": "2.0"}, {"fixed": "2.7.0rc1"}], "2.7.0rc1"),
        ([{"introduced": "not a version"}], None),
    ],
)
def test_a_python_package_is_affected_as_the_events_say(
    inventory: Inventory, tmp_path: Path, events: list[dict[str, str]], fixed: str | None
) -> None:
    expected = [] if fixed is None else [("CVE-2026-5", "torch", fixed)]
    assert found(inventory, tmp_path, entry("Torch", "PyPI", events)) == expected


def test_a_distribution_s_entry_is_held_against_the_source_package_of_that_release(inventory: Inventory, tmp_path: Path) -> None:
    events = [{"introduced": "0"}, {"fixed": "3.0.2-1"}]
    assert found(inventory, tmp_path, entry("openssl", "Debian:13", events)) == [("CVE-2026-5", "openssl", "3.0.2-1")]
    assert found(inventory, tmp_path, entry("openssl", "Debian:12", events)) == []


def test_listed_versions_count_and_withdrawn_entries_do_not(inventory: Inventory, tmp_path: Path) -> None:
    listed = {"id": "X-1", "affected": [{"package": {"ecosystem": "PyPI", "name": "torch"}, "versions": ["2.6.0"]}]}
    assert found(inventory, tmp_path, listed) == [("X-1", "torch", "")]
    assert found(inventory, tmp_path, {**listed, "withdrawn": "2026-01-01T00:00:00Z"}) == []


def test_a_zip_and_a_folder_are_read_as_well(inventory: Inventory, tmp_path: Path) -> None:
    text = json.dumps(entry("torch", "PyPI", [{"introduced": "0"}], database_specific={"severity": "MODERATE"}))
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as packed:
        packed.writestr("GHSA-1.json", text)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/GHSA-1.json").write_text(text)
    for name in ("all.zip", "folder"):
        answer = osv.ask(inventory, tmp_path / name)
        assert [(each.id, each.severity) for each in answer.found] == [("CVE-2026-5", "medium")]
        assert answer.known == {"python torch"}


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"[[[", b'{"id": 1}', b"[" * 100_000, b"PK\3\4broken", b"\xff\xfe"])
def test_what_is_no_database_is_an_error_with_words(inventory: Inventory, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ConfigError):
        osv.ask(inventory, tmp_path / "x")
    with pytest.raises(ConfigError):
        osv.ask(inventory, tmp_path / "missing")


# -- what is left out

TODAY = date(2026, 6, 1)
ONE = Vulnerability("CVE-2026-1", "openssl", "1", "2", "archive")
RULE = '[[ignore]]\nid = "CVE-2026-1"\nreason = "no server runs in it"\nuntil = 2026-06-01\n'


def test_a_rule_leaves_out_what_it_names_up_to_its_date() -> None:
    result = assess([ONE], [], [], 0, rules_in(RULE, "f"), TODAY)
    assert result.found == ()
    assert [(each.vulnerability, each.reason) for each in result.ignored] == [(ONE, "no server runs in it")]


def test_a_rule_whose_date_is_over_counts_no_more_and_is_named() -> None:
    result = assess([ONE], [], [], 0, rules_in(RULE, "f"), date(2026, 6, 2))
    assert result.found == (ONE,)
    assert result.expired == ("CVE-2026-1 of *: until 2026-06-01",)


def test_a_rule_for_one_package_leaves_the_others_alone() -> None:
    rules = rules_in(RULE + 'package = "libfoo*"\n', "f")
    assert assess([ONE], [], [], 0, rules, TODAY).found == (ONE,)


@pytest.mark.parametrize(
    "text",
    [
        RULE.replace("no server runs in it", " "),
        RULE.replace("CVE-2026-1", "*"),
        RULE.replace("until = 2026-06-01\n", ""),
        RULE.replace("2026-06-01", '"soon"'),
        RULE + "severity = 1\n",
        "[[ignore",
        "ignore = 3",
    ],
)
def test_a_rule_without_reason_date_or_name_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="f: "):
        rules_in(text, "f")


def test_two_sources_that_tell_of_the_same_count_once_with_what_both_know() -> None:
    other = Vulnerability("CVE-2026-1", "openssl", "1", "", "osv", "high", "an overflow")
    (one,) = assess([other, ONE], [], [], 0, [], TODAY).found
    assert (one.fixed, one.severity, one.summary, one.source) == ("2", "high", "an overflow", "archive")


def test_the_worst_comes_first() -> None:
    low, high = Vulnerability("A", "p", "1", "2", "s", "low"), Vulnerability("B", "p", "1", "", "s", "critical")
    assert [each.id for each in assess([low, high, ONE], [], [], 0, [], TODAY).found] == ["B", "A", "CVE-2026-1"]
