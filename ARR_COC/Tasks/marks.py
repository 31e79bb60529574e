"""Images that are made, not fetched, with a query, an answer, and a best allocation that is known.

An image is a grid of patches. Each has a hue, may stand out from its picture by its brightness, and may have writing of a
certain fineness in it. The query names a hue. The answer is what is written in the patches of that hue that stand out.
All others are decoys: of another hue, or as bright as the rest, or blank. Each of these patches is only evidence: the more
of them are read, the surer the answer. Fine writing takes more tokens than coarse, and a patch read in part says nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

from ARR_COC.errors import SettingsError
from ARR_COC.Model.spectrum import bands, cosines, width
from ARR_COC.Tasks.task import Samples, Task
from ARR_COC.Training.settings import Settings

Floats = NDArray[numpy.float32]
Doubles = NDArray[numpy.float64]
Integers = NDArray[numpy.int64]


TINTS = numpy.array([[2, -1, -1], [-1, 2, -1], [-1, -1, 2], [1, 1, -2], [1, -2, 1], [-2, 1, 1]], numpy.float32) * 0.06
"""Of each hue: what it adds to red, green and blue. They sum to nothing, so a hue has no brightness of its own."""
AMPLITUDE = 0.12
"""Of a written coefficient. A written band also has a pilot coefficient, twice as high, which says that it is written."""
NOISE = 1.2
"""Of a written coefficient, in AMPLITUDE: one patch's writing alone tells the answer in about half of the images."""
CONTRAST = 0.15
"""Brightness by which a patch stands out."""


def marks(settings: Settings) -> Task:
    """Raises SettingsError for patches that are too small to be written on."""
    model = settings.model
    if settings.side % model.patch or width(model.patch, model.depth) < 9 or model.least != 1:
        raise SettingsError(
            f"side={settings.side}, model.patch={model.patch}, model.depth={model.depth} and model.least={model.least} do not fit marks",
            "patches fill the side, (patch² - 1) / (depth - 1) is 9 or more, and model.least is 1",
        )
    train, held_out = (
        Marks(settings.seed, stream, size, settings.side // model.patch, model.patch, model.depth)
        for stream, size in ((0, settings.images), (1, settings.held_out))
    )
    return Task(train, held_out, train.queries, train.classes, train.grid**2)


def codewords(classes: int) -> Floats:
    """`(classes, 8)` of 1 and -1, orthogonal (Sylvester's Hadamard matrix)."""
    if not 2 <= classes <= 8:
        raise ValueError("marks has 2 to 8 classes")
    matrix = numpy.ones((1, 1), numpy.float32)
    while len(matrix) < 8:
        matrix = numpy.block([[matrix, matrix], [matrix, -matrix]])
    return matrix[:classes]


@dataclass(frozen=True)
class Marks:
    """A split of the made images. Image `i` follows from `seed`, `stream` and `i` alone.

    >>> Marks(seed=1).samples([0, 5]).images.shape
    (2, 3, 64, 64)
    """

    seed: int
    stream: int = 0
    """Another stream has other images of the same kind: 0 to train on, 1 held out."""
    size: int = 16384
    """Images."""
    grid: int = 8
    """Patches a side."""
    patch: int = 8
    """Pixels a side of a patch."""
    depth: int = 8
    """Tokens of a whole patch: one for its colour, the others for its detail, coarse to fine."""
    classes: int = 8
    queries: int = 3
    targets: int = 4
    """Patches that have a part in the answer."""

    def samples(self, indices: Sequence[int]) -> Samples:
        """Raises ValueError for an index outside the split."""
        if any(not 0 <= index < self.size for index in indices):
            raise ValueError(f"marks has the images 0 to {self.size - 1}")
        uniform, normal = self._random(indices)
        draw = iter(numpy.split(uniform, range(3, uniform.shape[1], self.grid**2), axis=1))
        query, answer, base = next(draw).T
        query, answer = _pick(query, self.queries), _pick(answer, self.classes)
        hue, level = _pick(next(draw), self.queries), 1 + _pick(next(draw), self.depth - 1)
        standing_out, blank = next(draw) < 1 / 3, next(draw) >= 1 / 3
        written, lost = _pick(next(draw), self.classes), _pick(next(draw), 3)
        # Which of the others a hue turns into, where it must not be the query's.
        other = (query[:, None] + 1 + _pick(next(draw), self.queries - 1)) % self.queries
        target = next(draw).argsort(axis=1) < self.targets
        # What would be a target by chance loses one of the three properties, each as often.
        chance = (hue == query[:, None]) & standing_out & ~blank & ~target
        hue = numpy.where(target, query[:, None], numpy.where(chance & (lost == 0), other, hue))
        standing_out = target | (standing_out & ~(chance & (lost == 1)))
        level = numpy.where(~target & (blank | (chance & (lost == 2))), 0, level)
        written = numpy.where(target, answer[:, None], written)
        darker = numpy.where(next(draw) < 0.5, -1, 1)
        brightness = 0.35 + 0.3 * base[:, None] + CONTRAST * darker * standing_out
        images = self._drawn(normal, brightness, hue, level, written)
        return Samples(images, query, answer, numpy.where(target, level + 1, 0))

    def _random(self, indices: Sequence[int]) -> tuple[Doubles, Floats]:
        patches = self.grid**2
        uniform = numpy.empty((len(indices), 3 + 9 * patches))
        normal = numpy.empty((len(indices), patches * (2 * self.patch**2 + 8)), numpy.float32)
        for row, index in enumerate(indices):
            # A counter-based generator: the index is a part of its counter, so no image depends on another.
            random = numpy.random.Generator(numpy.random.Philox(key=[self.seed, 16 + self.stream], counter=[0, 0, 0, index]))
            random.random(out=uniform[row])
            random.standard_normal(out=normal[row], dtype=numpy.float32)
        return uniform, normal

    def _drawn(self, normal: Floats, brightness: Floats, hue: Integers, level: Integers, written: Integers) -> Floats:
        count, patches = hue.shape
        across = width(self.patch, self.depth)
        sizes = numpy.cumsum([patches * (self.patch**2 - 1), patches * 8, patches])
        texture, smear, shade, grain = numpy.split(normal, sizes, axis=1)
        # Below the written band there is texture, above it nothing. The first coefficient says which a band is.
        detail = texture.reshape(count, patches, self.depth - 1, across)
        detail[..., 0] = 0
        detail[numpy.arange(1, self.depth) >= level[..., None]] = 0
        code = numpy.zeros((count, patches, across), numpy.float32)
        code[..., 0] = 2
        code[..., 1:9] = codewords(self.classes)[written] + NOISE * smear.reshape(count, patches, 8)
        image, place = numpy.nonzero(level)
        detail[image, place, level[image, place] - 1] = code[image, place]
        light = AMPLITUDE * detail.reshape(count, patches, -1) @ cosines(self.patch)[1:]
        colour = (brightness + 0.02 * shade)[..., None] + TINTS[hue]
        tiles = light.reshape(count, patches, 1, self.patch, self.patch) + colour.astype(numpy.float32)[..., None, None]
        tiles = tiles.reshape(count, self.grid, self.grid, 3, self.patch, self.patch).transpose(0, 3, 1, 4, 2, 5)
        return tiles.reshape(count, 3, self.grid * self.patch, -1) + 0.01 * grain.reshape(count, 1, self.grid * self.patch, -1)

    def read(self, samples: Samples, kept: Integers) -> Integers:
        """The answers `(n,)` of a perfect reader that is told where to look and sees only the tokens kept: `(n, patches)`.

        Where nothing can be read it answers class 0. No reader can be right more often (the sum of the written bands is
        all that depends on the answer).
        """
        tokens = bands(samples.images, self.patch, self.depth)  # (n, patches, depth - 1, width)
        level = numpy.maximum(samples.needs - 2, 0)
        seen = numpy.take_along_axis(tokens, level[..., None, None], axis=2)[..., 0, 1:9]
        readable = (samples.needs > 0) & (kept >= samples.needs)
        evidence = (seen * readable[..., None]).sum(axis=1)
        return (evidence @ codewords(self.classes).T).argmax(axis=1)


def _pick(uniform: Doubles, count: int) -> Integers:
    """Numbers in [0, 1) as integers below `count`."""
    return (uniform * count).astype(numpy.int64)
