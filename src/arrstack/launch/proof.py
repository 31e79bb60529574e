"""The proof that a tier's image is what was asked for: a census of its libraries, and the tier's own checks."""

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from arrstack.engines import Runner
from arrstack.errors import VerificationError
from arrstack.launch.diagnose import useful_tail
from arrstack.launch.parallel import together
from arrstack.launch.plan import PROOF
from arrstack.launch.steps import Steps
from arrstack.machine.process import Outcome
from arrstack.model import Event, EventKind
from arrstack.recipes.config import LoadedStack, Tier
from arrstack.recipes.tiers import CHECKS, check_programs

LINES = 40
"""Of a check's output, the last that an error may show."""


@dataclass(frozen=True)
class Proof:
    """Proves images that are built and not yet published."""

    stack: LoadedStack
    steps: Steps
    runner: Runner | None
    """None where the builder proved the image where it built it."""

    def of(self, tier: Tier, reference: str) -> Generator[Event, None, None]:
        """The census of a tier that holds compiled wheels, and the tier's `checks/` inside the finished image; how long they take
        together is remembered.

        Raises VerificationError: nothing was published yet.
        """
        if self.runner is None:
            return
        checks = [self.check(self.runner, tier.name, program, reference) for program in self.programs(tier)]
        census = [self.census(self.runner, tier.name, reference)] if tier.wheels else []
        began = self.steps.clock()
        yield from together([*census, *checks], self.steps.parallel_builds)
        if census or checks:
            with self.steps.writing:
                self.steps.memory.remember(f"{tier.name}/{PROOF}", self.steps.clock() - began)

    def checks(self, tier: Tier, reference: str) -> Generator[Event, None, None]:
        """The tier's `checks/` alone, in an image that is published. Raises VerificationError."""
        if self.runner is not None:
            steps = [self.check(self.runner, tier.name, program, reference) for program in self.programs(tier)]
            yield from together(steps, self.steps.parallel_builds)

    def programs(self, tier: Tier) -> list[Path]:
        """The tier's checks, by name."""
        return check_programs(self.stack.root / tier.recipe / CHECKS)

    def check(self, runner: Runner, tier: str, program: Path, reference: str) -> Generator[Event, None, None]:
        """One program of `checks/` in a container of the image."""
        step = f"{tier}/{program.name}"
        yield Event(EventKind.PHASE, step, "check")
        interpreter = "python" if program.suffix == ".py" else "bash"
        mounts = {program.parent.resolve(): "/checks"}
        environment = {"PROFILE": self.stack.profile_name}
        last: deque[str] = deque(maxlen=LINES)
        with Outcome(runner.run(reference, [interpreter, f"/checks/{program.name}"], environment, mounts)) as lines:
            for line in lines:
                last.append(line)
                yield Event(EventKind.LOG, step, line)
        if lines.value:
            raise VerificationError(
                f"{tier}: the check {program.name} failed:\n" + "\n".join(f"  {line}" for line in useful_tail(list(last))),
                f"the profile's tag does not move to it; it is {reference} in the engine's store. "
                f"`arrstack launch -v {tier}` shows all that the check says",
            )
        yield Event(EventKind.DONE, step, "passed")

    def census(self, runner: Runner, tier: str, reference: str) -> Generator[Event, None, None]:
        """Reads the image's files: exactly the profile's GPU architectures, and libraries that will load."""
        # A plan, which most launches are, does without: the census takes a twentieth of a second to import.
        from arrstack.verify import Level, load_policy, require_pass
        from arrstack.verify import verify as verification

        step = f"{tier}/census"
        yield Event(EventKind.PHASE, step, "of the image's libraries")
        with self.steps.scratch() as folder:
            layout = runner.layout(reference, folder)
            archs = self.stack.profile.archs
            report = verification(layout, policy=load_policy().for_architectures(archs, wants_gpu_code=bool(archs)))
        for problem in report.problems:
            kind = EventKind.WARNING if problem.level is not Level.NOTE else EventKind.LOG
            yield Event(kind, step, f"{problem.path}: {problem.message}")
        require_pass(report)
        yield Event(EventKind.DONE, step, "passed")
