"""Areas of rectangles, from a compiled library."""

import ctypes
from pathlib import Path

_library = ctypes.CDLL(str(Path(__file__).with_name("libshapes.so")))
_library.area.restype = ctypes.c_double
_library.area.argtypes = [ctypes.c_double, ctypes.c_double]


def area(width: float, height: float) -> float:
    return _library.area(width, height)
