"""A data set of the library `datasets`: a folder of this machine, or a name on its hub.

A row has an image, the answer, and where the column is there a query. Queries and answers are words or numbers: what
training sees of them is which of the known ones it is.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy

from ARR_COC.errors import DataError, SettingsError
from ARR_COC.Tasks.task import Samples, Task
from ARR_COC.Training.settings import Settings

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from PIL.Image import Image

HELD_OUT = ("test", "validation", "valid", "dev")
"""Splits that are taken for the evaluation, the first one that is there; else every tenth row of the training split."""


@dataclass(frozen=True)
class Rows:
    """A split, or some rows of it. Reads an image when it is asked for."""

    rows: "Dataset"
    settings: Settings
    queries: "dict[Hashable, int]"
    answers: "dict[Hashable, int]"
    patches: int

    @property
    def size(self) -> int:
        return len(self.rows)

    def samples(self, indices: Sequence[int]) -> Samples:
        settings, rows = self.settings, [self.rows[index] for index in indices]
        images = numpy.stack([self._image(row[settings.image]) for row in rows])
        queries = [self.queries[row[settings.query]] if self.queries else 0 for row in rows]
        answers = [self.answers[row[settings.answer]] for row in rows]
        needs = numpy.zeros((len(rows), self.patches), numpy.int64)
        return Samples(images, numpy.array(queries, numpy.int64), numpy.array(answers, numpy.int64), needs)

    def _image(self, image: "Image") -> "numpy.ndarray[tuple[int, ...], numpy.dtype[numpy.float32]]":
        scaled = image.convert("RGB").resize((self.settings.side, self.settings.side))
        return numpy.asarray(scaled, numpy.float32).transpose(2, 0, 1) / 255


def folder(settings: Settings) -> Task:
    """Raises DataError for a data set that can't be read, lacks a column, or holds out what training has not seen."""
    if settings.side % settings.model.patch:
        raise SettingsError(f"side={settings.side} is no multiple of model.patch={settings.model.patch}")
    train, held_out = _splits(settings.data)
    for column in (settings.image, settings.answer):
        if column not in train.column_names:
            raise DataError(
                f"{settings.data} has no column '{column}', but {', '.join(train.column_names)}",
                "the settings `image`, `query` and `answer` name its columns",
            )
    queries = _numbers(train, settings.query) if settings.query in train.column_names else {}
    answers = _numbers(train, settings.answer)
    for column, known in ((settings.query, queries), (settings.answer, answers)):
        if unseen := (set(held_out[column]) - known.keys() if known else set()):
            raise DataError(f"{settings.data}: '{sorted(unseen)[0]}' in column '{column}' is held out and never trained on")
    if len(answers) < 2:
        raise DataError(f"{settings.data}: column '{settings.answer}' has one answer only")
    patches = (settings.side // settings.model.patch) ** 2
    first, second = (Rows(rows, settings, queries, answers, patches) for rows in (train, held_out))
    return Task(first, second, max(1, len(queries)), len(answers), patches)


def _splits(name: str) -> "tuple[Dataset, Dataset]":
    try:
        import datasets
    except ImportError:
        raise DataError(f"data={name} needs the package datasets, which is not installed") from None
    try:
        found: "DatasetDict" = datasets.load_dataset(name)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"the data set {name} can't be read: {error}", "a folder, or a name on the hub of `datasets`") from None
    train = found["train"] if "train" in found else next(iter(found.values()))
    for split in HELD_OUT:
        if split in found and found[split] is not train:
            return train, found[split]
    tenth = numpy.arange(len(train)) % 10 == 9
    if not tenth.any():
        raise DataError(f"the data set {name} has {len(train)} rows: 10 are the least")
    return train.select(numpy.flatnonzero(~tenth)), train.select(numpy.flatnonzero(tenth))


def _numbers(rows: "Dataset", column: str) -> "dict[Hashable, int]":
    """Every value of a column, numbered in its order."""
    return {value: number for number, value in enumerate(sorted(set(rows[column])))}
