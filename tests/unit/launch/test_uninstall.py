"""Everything of the product's own goes, and nothing else."""

from pathlib import Path

import pytest

from arrstack.errors import MachineError
from arrstack.launch.uninstall import Uninstalling
from arrstack.machine.folders import Folders
from arrstack.machine.process import Processes


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
