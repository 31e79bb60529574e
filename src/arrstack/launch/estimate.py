"""Pure: how long a launch's steps take on a machine with so many processors.

compile_seconds(wheel, read_record(path), jobs=176)
"""

from collections.abc import Collection, Mapping

from arrstack.launch.progress import Replay
from arrstack.recipes.config import Wheel

CUDA = ".cu.o"
"""How the names of objects end that hold GPU code."""


def compile_seconds(wheel: Wheel, record: Mapping[str, float], jobs: int) -> float:
    """Of one wheel: its record's edges on so many jobs, so that the dearest edge, for which all others wait at the end, counts; stretched
    to what stack.toml says of the whole. Without a record the whole is shared out evenly."""
    if not record:
        return wheel.cpu_seconds / jobs
    whole = sum(record.values())
    return Replay.of(record.values(), jobs).ends[-1] * (wheel.cpu_seconds / whole if wheel.cpu_seconds else 1.0)


def knows_gpu_code(records: Collection[Mapping[str, float]]) -> bool:
    """Whether any of these records has an object with GPU code: else nothing is known of what that costs, which is most of it."""
    return any(name.endswith(CUDA) for record in records for name in record)
