"""Who works with this machine's things now."""

import multiprocessing
import multiprocessing.connection
import os
import stat
from pathlib import Path

import pytest

from arrstack.errors import MachineError
from arrstack.machine.folders import Folders
from arrstack.machine.locks import Held, held, holder, in_use, scratch, unused


def test_a_second_holder_is_refused_at_once_and_told_who_the_first_is(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with held(lock, "the first"):
        with pytest.raises(Held), held(lock, "the second"):
            pass
        assert holder(lock) == "the first"
    assert holder(lock) == ""
    with held(lock, "again"):
        pass


def test_who_only_asks_disturbs_nobody(tmp_path: Path) -> None:
    """A reader's own lock would make the launch that begins at that moment fail."""
    lock = tmp_path / "lock"
    with held(lock, "x"):
        assert holder(lock) == "x"
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        holder(lock)
    assert len(os.listdir("/proc/self/fd")) == len(before)
    with held(lock, "y"):
        pass


def test_a_lock_is_for_its_user_alone_and_follows_no_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "lock").symlink_to(victim)
    with pytest.raises(MachineError, match="a link stands in its place"), held(tmp_path / "lock", "x"):
        pass
    assert victim.read_text() == "precious"
    assert holder(tmp_path / "lock") == ""
    with held(tmp_path / "own", "x"):
        assert stat.S_IMODE((tmp_path / "own").stat().st_mode) == 0o600


def hold_for_ever(lock: str, ready: "multiprocessing.connection.Connection") -> None:
    with held(Path(lock), "killed soon"):
        ready.send(True)
        ready.recv()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold_for_ever, args=(str(tmp_path / "lock"), theirs))
    process.start()
    ours.recv()
    assert holder(tmp_path / "lock") == "killed soon"
    process.kill()
    process.join()
    assert holder(tmp_path / "lock") == ""
    with held(tmp_path / "lock", "the next"):
        pass


def test_launches_with_one_cache_keep_apart_whatever_their_other_folders_are(tmp_path: Path) -> None:
    one, two = (Folders(tmp_path / "cache", tmp_path / name, tmp_path / name) for name in ("one", "two"))
    with (
        one.alone("a launch"),
        pytest.raises(MachineError, match=r"another one is at work: process \d+: a launch"),
        two.alone("another"),
    ):
        pass


def test_only_folders_that_nobody_uses_are_swept(tmp_path: Path) -> None:
    folders = Folders(tmp_path, tmp_path, tmp_path)
    (tmp_path / "step-left").mkdir()
    with folders.scratch() as folder:
        assert not unused(folder)
        folders.sweep()
        assert folder.is_dir()
        assert not (tmp_path / "step-left").exists()
    assert not folder.exists()


def test_a_link_is_nobody_s_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "step-link").symlink_to(tmp_path / "real")
    assert not unused(tmp_path / "step-link")
    with in_use(tmp_path / "real"):
        assert not unused(tmp_path / "real")
    assert unused(tmp_path / "real")


def test_a_relative_xdg_folder_is_ignored_as_the_specification_says(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "XDG_CACHE_HOME": "cache", "XDG_STATE_HOME": f"{tmp_path}/s", "XDG_DATA_HOME": ""}
    found = Folders.of(environment)
    assert (found.cache, found.state) == (tmp_path / ".cache/arrstack", tmp_path / "s/arrstack")
    assert found.data == tmp_path / ".local/share/arrstack"


def test_a_folder_for_one_step_is_its_user_s_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with scratch(tmp_path / "cache") as folder:
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    finally:
        os.umask(before)


def test_a_folder_that_is_about_to_be_marked_is_not_swept(tmp_path: Path) -> None:
    fresh, old = tmp_path / "new-step-a", tmp_path / "new-step-b"
    fresh.mkdir()
    old.mkdir()
    os.utime(old, (0, 0))
    Folders(tmp_path, tmp_path, tmp_path).sweep()
    assert fresh.is_dir()
    assert not old.exists()
