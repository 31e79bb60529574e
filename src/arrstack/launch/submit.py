"""A training job for a published image: its machine is held against what is in the image, before anything costs anything.

machine = wanted(training, "", "L4", 0)
refuse_unfit(machine, stack.profile.archs)   # before an image is built for hours
told = judged(machine, report)               # of the image itself: "" where it runs natively, else how it runs
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from arrstack.errors import UnfitError
from arrstack.recipes.places import Training
from arrstack.training.machines import Machine, choose, machines
from arrstack.verify import Report
from arrstack.verify.compat import Capability, Mode, Unit
from arrstack.verify.compat import choose as choose_code
from arrstack.verify.gpus import find_gpus, load_gpus
from arrstack.verify.policy import parse_architectures

WHERE = "`arrstack launch --submit --where` lists the machines that run it"


@dataclass(frozen=True)
class Place:
    """A machine that runs the image, how, and where it may be had: regions, or why they are not known."""

    machine: Machine
    mode: Mode
    regions: tuple[str, ...] = ()


def wanted(training: Training, machine: str, gpu: str, gpus: int) -> Machine:
    """The machine of the options, else of the stack file. A GPU on the command line takes the place of the file's machine. Raises ConfigError."""
    named = machine or ("" if gpu else training.machine)
    model = gpu or ("" if machine else training.gpu)
    found = next(iter(find_gpus([model])), "") if model else ""
    return choose(machines(), named, found, gpus or (0 if machine or gpu else training.gpus))


def refuse_unfit(machine: Machine, archs: Sequence[str]) -> None:
    """Raises UnfitError where an image with exactly these architectures cannot run on the machine, whatever else is in it."""
    if not machine.is_x86:
        raise UnfitError(f"{machine} has no x86-64 processors; the images are linux/amd64", WHERE)
    if machine.gpu and by_list(machine.gpu, archs) is Mode.NO:
        holds = ", ".join(archs) or "no GPU code"
        raise UnfitError(f"{machine.gpu} ({dotted(load_gpus()[machine.gpu])}) does not run an image with {holds}", WHERE)


def by_list(gpu: str, archs: Sequence[str]) -> Mode:
    """How code of exactly these architectures runs on a GPU model."""
    sass, _ = parse_architectures(archs)
    return choose_code(Unit(frozenset(sass), frozenset()), load_gpus()[gpu]).mode


def judged(machine: Machine, report: Report) -> str:
    """What is to be warned of before the image runs there; '' where nothing is. Raises UnfitError where it does not run."""
    refuse = not machine.is_x86
    if machine.gpu:
        refuse = refuse or machine.gpu not in report.gpus or report.gpus[machine.gpu].mode is Mode.NO
    if refuse:
        said = (
            report.answer(machine.gpu) if machine.gpu in report.gpus else f"{machine}: there is no code for its GPU in the image"
        )
        raise UnfitError(f"{report.target}: {said}; nothing was put on the queue", WHERE)
    native = not machine.gpu or report.gpus[machine.gpu].mode is Mode.NATIVE
    return "" if native else report.answer(machine.gpu)


def modes(report: Report | None, archs: Sequence[str]) -> dict[str, Mode]:
    """GPU model -> how it runs the image: by its census, else by the list that it is built for."""
    if report is None:
        return {gpu: by_list(gpu, archs) for gpu in load_gpus()}
    return {gpu: report.gpus[gpu].mode if gpu in report.gpus else Mode.NO for gpu in load_gpus()}


def places(
    how: Mapping[str, Mode], regions: Mapping[str, Sequence[str]], name: str = "", gpu: str = "", gpus: int = 0
) -> list[Place]:
    """The machines that run an image, of this name, with this GPU, with so many of them; `regions` are those of accelerators, where they are known.
    Without GPU code in the image those without a GPU."""
    model = next(iter(find_gpus([gpu])), "") if gpu else ""
    runs_on_gpus = any(mode is not Mode.NO for mode in how.values())
    found = []
    for machine in machines():
        mode = how.get(machine.gpu, Mode.NO) if machine.gpu else Mode.NO if runs_on_gpus else Mode.NATIVE
        asked = name in ("", machine.name) and model in ("", machine.gpu) and gpus in (0, machine.gpus)
        if asked and machine.is_x86 and mode is not Mode.NO:
            found.append(Place(machine, mode, tuple(regions.get(machine.accelerator, ()))))
    return found


def dotted(capability: Capability) -> str:
    return f"{capability[0]}.{capability[1]}"
