"""How long a launch's steps take on a machine with so many processors, and which steps there will be.

compile_seconds(wheel, read_record(path), jobs=176)
estimates(stack, jobs=2, memory=memory)
"""

from collections.abc import Collection, Iterable, Mapping

from arrstack.engines.bases import local_base
from arrstack.launch.progress import Replay
from arrstack.launch.record import GPU_CODE, Row, costs, known, pieces, read_rows, rows_of
from arrstack.machine.memory import Kind, Memory
from arrstack.recipes.config import Bootstrap, LoadedStack, Wheel
from arrstack.recipes.tiers import Recipe

BASE_SECONDS = 60.0
"""Of making a base image, until one was made here: what a small Debian with Python takes by a common line."""


def compile_seconds(wheel: Wheel, record: Mapping[str, float], jobs: int, archs: int = 0) -> float:
    """Of one wheel: its record's edges for so many architectures on so many jobs, so that the dearest edge, for which all others wait at the
    end, counts. Without a record what stack.toml says of the whole is shared out evenly."""
    return Replay.of(pieces(record, archs).values(), jobs).ends[-1] if record else wheel.cpu_seconds / jobs


def base_step(argument: str) -> str:
    """The name of the step that makes the base image of a build argument."""
    return f"base/{argument}"


def bases_to_make(stack: LoadedStack, recipes: Iterable[Recipe], made: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Tier -> the steps that make base images for it: of those whose references are not among `made`, each once."""
    seen, wanted = set(made), {}
    for recipe in recipes:
        archive = stack.profile.archive_state(recipe.tier.name)
        names = []
        for name, base in stack.profile.bases.items():
            if not isinstance(base, Bootstrap) or not recipe.stands_on_base(name):
                continue
            if (reference := local_base(base, archive)) not in seen:
                seen.add(reference)
                names.append(base_step(name))
        wanted[recipe.tier.name] = tuple(names)
    return wanted


def bases_here(stack: LoadedStack, recipes: Iterable[Recipe], memory: Memory) -> dict[str, tuple[str, ...]]:
    """Tier -> the steps that make base images for it, as far as this machine remembers what it has made, for any stack."""
    made = memory.noted(Kind.IMAGE).union(*(other.noted(Kind.IMAGE) for other in memory.others()))
    return bases_to_make(stack, recipes, made)


def known_rows(stack: LoadedStack, memory: Memory, step: str, wheel: Wheel) -> list[Row]:
    """What is known of the edges of a wheel, whose step this is. Raises ConfigError."""
    own = rows_of(memory.edges(step))
    return known(read_rows(stack.record(wheel)), own, len(stack.profile.archs), wheel.cpu_seconds)


def estimates(stack: LoadedStack, jobs: int, memory: Memory) -> dict[str, float]:
    """Step -> seconds: what was measured here, else what stack.toml and the records of earlier compiles say, with so many jobs.
    Raises ConfigError."""
    archs = len(stack.profile.archs)
    stated, measured = {base_step(name): BASE_SECONDS for name in stack.profile.bases}, memory.durations(archs)
    for tier in stack.tiers:
        stated[tier.name] = tier.seconds
        for wheel in tier.wheels:
            step = f"{tier.name}/{wheel.name}"
            if step in measured:
                read_rows(stack.record(wheel))  # a file that is no record is refused before a build
            else:
                stated[step] = compile_seconds(wheel, costs(known_rows(stack, memory, step, wheel)), jobs, archs)
    return stated | measured


def knows_gpu_code(records: Iterable[Mapping[str, float]]) -> bool:
    """Whether any of these records has an object with GPU code: else nothing is known of what that costs, which is most of it."""
    return any(name.endswith(GPU_CODE) for record in records for name in record)
