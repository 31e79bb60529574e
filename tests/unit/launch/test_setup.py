"""What the machine needs is checked before anything starts, and said with what to do."""

import tomllib
from pathlib import Path

import pytest

from arrstack.engines import buildah
from arrstack.errors import MachineError
from arrstack.launch.setup import Setup
from arrstack.machine.folders import Folders
from arrstack.machine.process import Processes
from arrstack.machine.resources import GIB, Machine, available_memory, certificates


@pytest.fixture(autouse=True)
def netavark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a later buildah needs is there, whatever this machine has."""
    monkeypatch.setattr(buildah, "HELPERS", (tool(tmp_path / "netavark", "netavark"),))


def setup(tmp_path: Path, path: str = "", user: int = 0, allowed: bool = True, answer: bool = False) -> tuple[Setup, list[str]]:
    said: list[str] = []
    folders = Folders(tmp_path / "cache", tmp_path / "state", tmp_path / "data")
    return Setup(Processes({"PATH": path}), folders, lambda _: answer, said.append, allowed, user), said


def tool(folder: Path, name: str, script: str = "exit 0") -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("cores", "memory", "jobs", "limit"),
    [(2, 24, 2, "cores"), (16, 6, 4, "memory"), (4, 1, 1, "memory"), (176, 700, 176, "cores")],
)
def test_jobs_are_what_cores_and_memory_allow(cores: int, memory: int, jobs: int, limit: str) -> None:
    count, why = Machine(cores, memory * GIB, "x86_64").jobs()
    assert count == jobs
    assert f"limited by {limit}" in why


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="aarch64; the images are linux/amd64"):
        setup(tmp_path)[0].preflight(Machine(4, 8 * GIB, "aarch64"), True, 1)


def test_too_little_memory_is_refused_for_a_compile_alone(tmp_path: Path) -> None:
    small = Machine(2, GIB, "x86_64")
    setup(tmp_path)[0].preflight(small, False, 0)
    with pytest.raises(MachineError, match="a compile needs"):
        setup(tmp_path)[0].preflight(small, True, 0)


def test_a_full_disk_is_refused_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=5 * GIB))
    with pytest.raises(MachineError, match=r"5.0 GiB free; this build may need 8 GiB") as error:
        setup(tmp_path)[0].preflight(Machine(2, 8 * GIB, "x86_64"), True, 8)
    setup(tmp_path)[0].preflight(Machine(2, 8 * GIB, "x86_64"), False, 8)  # no compile: half of it
    assert "prune" in error.value.hint


def test_set_up_that_is_not_allowed_prints_the_commands(tmp_path: Path) -> None:
    path = tool(tmp_path / "bin", "apt-get", "echo ran >&2; exit 9")
    with pytest.raises(MachineError) as error:
        setup(tmp_path, path, allowed=False)[0].engine("buildah")
    assert error.value.message == "this machine lacks buildah, mmdebstrap, skopeo, util-linux"
    assert error.value.hint == (
        "run: apt-get update -qq && apt-get install -y -qq --no-install-recommends buildah mmdebstrap skopeo util-linux"
    )


def test_without_apt_the_missing_packages_are_named(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="has no apt-get"):
        setup(tmp_path)[0].engine("buildah")


def test_an_ordinary_user_is_asked_and_may_refuse(tmp_path: Path) -> None:
    path = tool(tmp_path / "bin", "apt-get")
    tool(tmp_path / "bin", "sudo")
    with pytest.raises(MachineError) as error:
        setup(tmp_path, path, user=1000, answer=False)[0].engine("buildah")
    assert error.value.hint.startswith("run as root: ")


def test_a_failed_installation_says_apt_s_last_line(tmp_path: Path) -> None:
    path = tool(tmp_path / "bin", "apt-get", "echo 'E: no network' >&2; exit 100")
    with pytest.raises(MachineError, match=r"^apt-get update -qq failed: E: no network$"):
        setup(tmp_path, path)[0].engine("buildah")


def test_an_engine_that_is_too_old_is_refused(tmp_path: Path) -> None:
    path = tool(tmp_path / "bin", "buildah", "echo buildah version 1.19.6 '(image-spec 1)'")
    for name in ("mmdebstrap", "skopeo", "unshare"):
        tool(tmp_path / "bin", name)
    with pytest.raises(MachineError, match=r"too old: buildah version 1\.19\.6"):
        setup(tmp_path, path)[0].engine("buildah")


@pytest.mark.parametrize(
    ("version", "there", "lacks"), [("1.28.2", False, ()), ("1.39.3", False, ("netavark",)), ("1.39.3", True, ())]
)
def test_a_later_buildah_needs_netavark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, there: bool, lacks: tuple[str, ...]
) -> None:
    path = tool(tmp_path / "bin", "buildah", f"echo buildah version {version}")
    helpers = tool(tmp_path / "helpers", "netavark") if there else str(tmp_path / "none")
    monkeypatch.setattr(buildah, "HELPERS", ("/nonexistent", helpers))
    assert buildah.Buildah(Processes({"PATH": path}), tmp_path / "cache", True).lacks() == lacks
    for name in ("mmdebstrap", "skopeo", "unshare"):
        tool(tmp_path / "bin", name)
    if lacks:
        with pytest.raises(MachineError, match="this machine lacks netavark"):
            setup(tmp_path, path, allowed=False)[0].engine("buildah")


@pytest.mark.parametrize(
    ("root", "fuse", "opens"), [(True, True, True), (False, True, True), (False, True, False), (False, False, True)]
)
def test_an_ordinary_user_s_store_is_one_for_both_tools_and_takes_fuse_where_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: bool, fuse: bool, opens: bool
) -> None:
    path = tool(tmp_path / "bin", "buildah", "echo buildah version 1.28.2 '(image-spec 1)'")
    if fuse:
        tool(tmp_path / "bin", "fuse-overlayfs")
    monkeypatch.setattr(buildah.os, "access", lambda *_: opens)
    engine = buildah.Buildah(Processes({"PATH": path}), tmp_path / "cache", root)
    assert engine.version() == "1.28.2"
    told = tomllib.loads((tmp_path / "cache/storage.conf").read_text())["storage"]
    assert told["graphroot"] == (str(buildah.STORE) if root else str(tmp_path / "cache/storage"))
    assert told.get("rootless_storage_path") == (None if root else told["graphroot"])
    assert ("options" in told) == (not root and fuse and opens)


def test_the_host_s_certificates_are_those_that_it_names(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("x")
    assert certificates({"SSL_CERT_FILE": str(bundle)}) == bundle
    assert certificates({"SSL_CERT_FILE": "/nope"}) != Path("/nope")


def rootless_tools(folder: Path, unshare: str) -> str:
    """Tools of which buildah answers `buildah unshare true` by a script."""
    tool(folder, "buildah", f'[ "$1" = unshare ] || {{ echo "buildah version 1.39.3 (x)"; exit 0; }}\n{unshare}')
    for name in ("mmdebstrap", "skopeo", "unshare", "newuidmap"):
        tool(folder, name)
    return str(folder)


DAEMON = '{"ServerVersion": "26.1.5", "ClientInfo": {"Plugins": [{"Name": "buildx", "Path": "/buildx"}]}}'
FORBIDDEN = """
echo 'cannot clone: Operation not permitted' >&2
echo 'time="2026-11-24T21:21:29Z" level=error msg="(Unable to determine exit status)"' >&2
exit 125"""


def test_a_user_who_may_not_build_is_told_what_to_allow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = rootless_tools(tmp_path / "bin", FORBIDDEN)
    monkeypatch.setenv("LOGNAME", "someone")
    (tmp_path / "subuid").write_text("other:100000:65536\n")
    monkeypatch.setattr("arrstack.engines.limits.SUBORDINATE_IDS", (str(tmp_path / "subuid"), str(tmp_path / "none")))
    with pytest.raises(MachineError, match=r"cannot build as someone: cannot clone: Operation not permitted") as error:
        setup(tmp_path, path, user=1000)[0].engine("auto")
    assert error.value.hint == "run as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 someone"
    (tmp_path / "subuid").write_text("someone:100000:65536\n")
    monkeypatch.setattr("arrstack.engines.limits.SUBORDINATE_IDS", (str(tmp_path / "subuid"),))
    with pytest.raises(MachineError) as error:
        setup(tmp_path, path, user=1000)[0].engine("buildah")
    assert "user.max_user_namespaces" in error.value.hint


def test_where_buildah_may_not_build_a_daemon_is_taken(tmp_path: Path) -> None:
    path = rootless_tools(tmp_path / "bin", FORBIDDEN)
    tool(tmp_path / "bin", "docker", f"echo '{DAEMON}'")
    engine, reason = setup(tmp_path, path, user=1000)[0].engine("auto")
    assert engine.name == "docker"
    assert "cannot build as" in reason


def test_a_user_who_may_build_needs_nothing_else(tmp_path: Path) -> None:
    path = rootless_tools(tmp_path / "bin", "exit 0")
    engine, reason = setup(tmp_path, path, user=1000)[0].engine("auto")
    assert (engine.name, reason) == ("buildah", "buildah 1.39.3, found here")


@pytest.mark.parametrize(
    ("limit", "free"),
    [(None, 8 * GIB), ("max", 8 * GIB), (str(64 * GIB), 8 * GIB), (str(6 * GIB), 5 * GIB)],
    ids=["no control group", "no limit", "a limit above what is there", "a limit: cached files are not counted as used"],
)
def test_memory_is_what_the_machine_and_the_control_group_leave(tmp_path: Path, limit: str | None, free: int) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(f"MemTotal:       99 kB\nMemAvailable:   {8 * GIB // 1024} kB\n")
    if limit:
        group = tmp_path / "sys/fs/cgroup"
        group.mkdir(parents=True)
        (group / "memory.max").write_text(limit + "\n")
        (group / "memory.current").write_text(f"{5 * GIB}\n")
        (group / "memory.stat").write_text(f"anon {GIB}\ninactive_file {4 * GIB}\n")
    assert available_memory(tmp_path) == free


def test_who_only_looks_takes_the_engine_whose_store_is_here(tmp_path: Path) -> None:
    path = tool(tmp_path / "bin", "buildah", "echo buildah version 1.28.2 '(image-spec 1)'")
    here, _ = setup(tmp_path, path)
    assert here.present("auto") is None, "no store was made yet, and none is made in order to look"
    assert not (tmp_path / "cache").exists()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/storage.conf").touch()
    found = here.present("auto")
    assert isinstance(found, buildah.Buildah) and found.cache == tmp_path / "cache"
    assert here.present("docker") is None, "no daemon answers"
