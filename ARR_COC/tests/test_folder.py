"""A data set of one's own in place of the made task."""

from pathlib import Path

import numpy
import pytest

from ARR_COC.errors import DataError
from ARR_COC.Tasks.folder import folder
from ARR_COC.tests.conftest import Trainer
from ARR_COC.Training.settings import Settings, read

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("datasets")
COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


def written(place: Path, split: str, rows: "list[tuple[str, str, str]]") -> None:
    """Images of one colour each, with a table of name, query and label."""
    target = place / split
    target.mkdir(parents=True)
    for name, _, label in rows:
        Image.new("RGB", (20, 30), COLOURS.get(label, (0, 0, 0))).save(target / name)
    (target / "metadata.csv").write_text("file_name,query,label\n" + "".join(f"{','.join(row)}\n" for row in rows))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    place = tmp_path / "images"
    rows = [(f"{number}.png", "what colour" if number % 2 else "which", sorted(COLOURS)[number % 3]) for number in range(24)]
    written(place, "train", rows)
    written(place, "test", rows[:6])
    return place


def settings(place: Path, *words: str) -> Settings:
    return read([f"data={place}", "side=32", *words], {})


def test_images_queries_and_answers_are_read_and_numbered(images: Path) -> None:
    task = folder(settings(images))
    assert (task.train.size, task.held_out.size, task.queries, task.classes, task.patches) == (24, 6, 2, 3, 16)
    samples = task.train.samples([1, 0])
    assert samples.images.shape == (2, 3, 32, 32)
    assert samples.images[0].mean(axis=(1, 2)) == pytest.approx(numpy.array(COLOURS["green"]) / 255, abs=0.02)
    assert (samples.queries.tolist(), samples.answers.tolist()) == ([0, 1], [1, 0])
    assert not samples.needs.any()


def test_without_a_split_to_hold_out_every_tenth_row_is(tmp_path: Path) -> None:
    written(tmp_path / "images", "train", [(f"{number}.png", "q", sorted(COLOURS)[number % 3]) for number in range(20)])
    task = folder(settings(tmp_path / "images"))
    assert (task.train.size, task.held_out.size) == (18, 2)


def test_a_column_that_is_not_there_is_told_with_those_that_are(images: Path) -> None:
    with pytest.raises(DataError, match="has no column 'caption', but image, query, label"):
        folder(settings(images, "answer=caption"))
    assert folder(settings(images, "query=none")).queries == 1


def test_an_answer_that_is_only_held_out_is_told(tmp_path: Path) -> None:
    written(tmp_path / "images", "train", [("a.png", "q", "red"), ("b.png", "q", "blue")])
    written(tmp_path / "images", "test", [("a.png", "q", "green")])
    with pytest.raises(DataError, match="'green' in column 'label' is held out and never trained on"):
        folder(settings(tmp_path / "images"))


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be read"):
        folder(settings(tmp_path / "none"))


def test_a_model_is_trained_on_it(images: Path, trainer: Trainer) -> None:
    words = (f"data={images}", "steps=30", "batch=12", "held_out=6", "evaluate_at=2", "model.hidden=32", "workers=1")
    assert trainer.run(*words) == 0, trainer.log
    assert '"oracle"' not in trainer.log
    assert trainer.losses(30)[-1] < 0.5 * trainer.losses(30)[0]
