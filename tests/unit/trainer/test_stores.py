"""Checkpoints in a folder: whole or not there, in the order of their numbers."""

from pathlib import Path

import pytest
from ARR_COC.errors import CheckpointError
from ARR_COC.Training.launch import wait
from ARR_COC.Training.progress import Progress, duration
from ARR_COC.Training.stores import Broken, Folder, address, connect, is_bucket, step_of


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_the_newest_goes_by_number_and_not_by_name(tmp_path: Path, files: Path) -> None:
    store = connect(str(tmp_path / "output"))
    for step in (1_000_000, 999_999, 200):
        store.publish(step, files)
    (tmp_path / "output/step-notes").mkdir()
    assert store.steps() == [200, 999_999, 1_000_000]


def test_what_has_no_done_is_no_checkpoint(tmp_path: Path, files: Path) -> None:
    store = Folder(tmp_path / "output")
    (Path(store.publish(5, files)) / "DONE").unlink()
    assert store.steps() == []
    assert store.publish(5, files) == f"{tmp_path}/output/step-000005"
    assert store.steps() == [5]


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.unlink(), "model.safetensors is missing"),
        (lambda path: path.write_bytes(b"weig"), "model.safetensors has 4 bytes instead of 7"),
        (lambda path: path.write_bytes(b"weightz"), "model.safetensors has other contents than were written"),
        (lambda path: (path.parent / "DONE").write_text("{"), "it has no readable DONE"),
    ],
)
def test_a_damaged_checkpoint_says_what_is_wrong_with_it(tmp_path: Path, files: Path, damage, expected: str) -> None:  # type: ignore[no-untyped-def]
    store = Folder(tmp_path / "output")
    damage(Path(store.publish(5, files)) / "model.safetensors")
    with pytest.raises(Broken, match=expected), store.fetched(5):
        pass


def test_leftovers_of_a_killed_run_are_swept(tmp_path: Path) -> None:
    left = tmp_path / "output/step-000005.partial-77"
    left.mkdir(parents=True)
    assert Folder(tmp_path / "output").steps() == []
    assert not left.exists()


def test_an_output_that_can_be_no_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="can't be made"):
        connect(str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("output", "place"),
    [
        ("/gcs/bucket/runs/r1", "gs://bucket/runs/r1"),
        ("gs://bucket/runs/r1", "gs://bucket/runs/r1"),
        ("/data/gcs/bucket", "/data/gcs/bucket"),
        ("output", "output"),
    ],
)
def test_a_bucket_that_is_mounted_is_asked_itself(output: str, place: str) -> None:
    assert address(output) == place
    assert is_bucket(output) == place.startswith("gs:")


def test_only_whole_names_are_steps() -> None:
    names = ("step-000200", "step-1000000", "step-000200.partial-7", "step-", "last", "step--5")
    assert [step_of(name) for name in names] == [200, 1_000_000, None, None, None, None]


def test_progress_tells_loss_speed_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 30.0])
    progress = Progress(100, 400, clock=lambda: next(times))
    progress.step()
    progress.report(200, 0.25, 12345.6)
    assert capsys.readouterr().err == "step 200/400  loss 0.2500  12,346 tokens/s  1:00 left\n"
    assert [duration(seconds) for seconds in (5, 75, 3700)] == ["0:05", "1:15", "1:01:40"]


def test_the_status_of_processes_is_the_first_that_is_not_0() -> None:
    class Ended:
        def __init__(self, status: int) -> None:
            self.returncode = status

        def poll(self) -> int:
            return self.returncode

    assert [wait([Ended(a), Ended(b)]) for a, b in ((0, 0), (0, 5), (143, 143), (-9, 0))] == [0, 5, 143, 137]  # type: ignore[list-item]
