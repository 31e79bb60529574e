"""The record of an earlier compile: what each of its edges cost. It weighs the progress of the next one.

The recipe's launcher writes it and says its format (Stack/arr-pytorch-base/build/common/edges.py, which reads it in the image).
"""

import math
import re
from pathlib import Path

from arrstack.errors import ConfigError

PIECE = re.compile(r"(?<=\.o)\.\d+\.o$")
"""What the launcher adds to a group's object for one of its files, where it compiles them one by one."""
NO_EDGES = ("/", "CMakeFiles/cmTC_")
"""How names in a record begin that are no edges of ninja's: precompiled headers, and what CMake asks of the compiler."""
LARGEST = 64 << 20
"""Bytes of a record."""


def read_record(path: Path | None) -> dict[str, float]:
    """Object name -> CPU-seconds; nothing where there is no file (None). Raises ConfigError for a file that is no record.

    An object counts as it was made last, with what a refused header or a group that no longer fits together cost before.

        read_record(Path("records/torch.tsv"))["caffe2/CMakeFiles/torch_cpu.dir/a.cpp.o"]
    """
    if path is None or not path.is_file():
        return {}
    if path.stat().st_size > LARGEST:
        raise ConfigError(f"{path} is larger than {LARGEST} bytes: that is no record of edges")
    costs: dict[str, float] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            user, system, peak, wall, status, what, name = line.split("\t")
            seconds = float(user) + float(system)
            _ = int(peak), float(wall), int(status)  # the recipe reads them: a build is too late to learn that they are none
            if not 0 <= seconds < math.inf:
                raise ValueError
        except ValueError:
            raise ConfigError(
                f"{path}:{number}: no line of a record of edges", "take the build's own edges.tsv, or none"
            ) from None
        name = PIECE.sub("", name)
        if not name.startswith(NO_EDGES):
            costs[name] = (costs.get(name, 0.0) if what in ("refused", "parted") else 0.0) + seconds
    return costs
