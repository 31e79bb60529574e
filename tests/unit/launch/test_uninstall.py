"""Everything of the product's own goes, and nothing else."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from arrstack.errors import MachineError
from arrstack.launch.uninstall import Uninstalling
from arrstack.machine.folders import Folders
from arrstack.machine.process import Finished, Processes


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    found = Folders(*(tmp_path / kind / "arrstack" for kind in ("cache", "state", "data")))
    for folder in (found.cache, found.state, found.data):
        (folder / "below").mkdir(parents=True)
        (folder / "below/file").write_text("x" * 5000)
        (folder.parent / "another program's").mkdir()
    return found


def test_the_three_folders_go_and_what_lies_beside_them_stays(folders: Folders, tmp_path: Path) -> None:
    uninstalling = Uninstalling(folders, Processes(), None, True)
    listed = uninstalling.removals()
    assert [each.what.partition(":")[0] for each in listed] == [str(folders.data), str(folders.state), str(folders.cache)]
    assert all(each.bytes >= 5000 for each in listed)
    assert uninstalling.remove() == listed
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")) == [
        f"{kind}/another program's" for kind in ("cache", "data", "state")
    ]
    assert uninstalling.remove() == []


def test_nothing_goes_while_a_launch_is_at_work(folders: Folders) -> None:
    with folders.alone("launch of stack.toml"), pytest.raises(MachineError, match="another one is at work"):
        Uninstalling(folders, Processes(), None, True).remove()
    assert (folders.data / "below/file").is_file()


class Namespaced(Processes):
    """A machine with buildah, whose user namespace removes what this user may not."""

    def __init__(self, works: bool) -> None:
        super().__init__({})
        self.works = works

    def which(self, name: str) -> str | None:
        return f"/usr/bin/{name}"

    def run(self, argv: Sequence[str], check: bool = True, *_: object, **more: object) -> Finished:
        assert list(argv[:-1]) == ["buildah", "unshare", "rm", "-rf", "--one-file-system"] and not check
        if self.works:
            shutil.rmtree(argv[-1])
        return Finished(0 if self.works else 1, "", "")


def test_a_user_s_folders_are_removed_in_the_namespace_that_owns_their_files(folders: Folders) -> None:
    Uninstalling(folders, Namespaced(True), None, False).remove()
    assert not any(folder.exists() for folder in (folders.cache, folders.state, folders.data))


def test_what_cannot_be_removed_is_said_with_who_can(folders: Folders) -> None:
    with pytest.raises(MachineError, match=f"{folders.data} could not be removed") as error:
        Uninstalling(folders, Namespaced(False), None, False).remove()
    assert error.value.hint == "remove it as the user who owns its files"
