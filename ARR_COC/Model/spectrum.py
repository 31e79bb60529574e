"""The detail of a patch, coarse to fine: its cosine transform, as JPEG orders it."""

from functools import cache

import numpy
from numpy.typing import NDArray

Floats = NDArray[numpy.float32]


@cache
def cosines(side: int) -> Floats:
    """The orthonormal two-dimensional cosine transform (DCT-II) as a matrix `(side**2, side**2)`.

    A row is a frequency, from the mean to the finest in the zigzag order of JPEG (ITU-T T.81, figure A.6); a column is a pixel.
    """
    place, frequency = numpy.arange(side) + 0.5, numpy.arange(side)
    line = numpy.cos(numpy.pi / side * frequency[:, None] * place[None, :]) * numpy.sqrt(2 / side)
    line[0] /= numpy.sqrt(2)
    plane = numpy.einsum("ay,bx->abyx", line, line).reshape(side, side, side * side)

    def zigzag(pair: tuple[int, int]) -> tuple[int, int]:
        diagonal = sum(pair)
        return diagonal, pair[0] if diagonal % 2 else pair[1]

    order = sorted(((a, b) for a in range(side) for b in range(side)), key=zigzag)
    return numpy.stack([plane[a, b] for a, b in order]).astype(numpy.float32)


def width(side: int, depth: int) -> int:
    """Coefficients of a detail token: the `side**2 - 1` frequencies above the mean, over `depth - 1` tokens.

    Raises ValueError where they do not divide evenly.
    """
    if depth < 2 or (side**2 - 1) % (depth - 1):
        raise ValueError(f"a patch of {side} pixels a side has {side**2 - 1} frequencies above its mean: depth - 1 divides them")
    return (side**2 - 1) // (depth - 1)


def bands(images: Floats, side: int, depth: int) -> Floats:
    """The detail tokens `(n, patches, depth - 1, width)` of the brightness of images `(n, 3, height, width)`."""
    count, _, height, across = images.shape
    light = images.mean(axis=1).reshape(count, height // side, side, across // side, side).transpose(0, 1, 3, 2, 4)
    spectrum = light.reshape(count, -1, side * side) @ cosines(side)[1:].T
    return spectrum.reshape(count, spectrum.shape[1], depth - 1, width(side, depth))
