"""What stands beside an image in the registry, attached by the launch that made it: its bill of materials."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Protocol

from arrstack.engines import Runner
from arrstack.errors import ArrstackError
from arrstack.launch.plan import BILL, TierPlan
from arrstack.launch.steps import Steps
from arrstack.model import Event, EventKind, Image
from arrstack.registry import Registry


class Description(Protocol):
    """What stands beside an image in the registry: its bill of materials."""

    def attach(self, tier: str, image: Image, source: str) -> Iterator[str]:
        """Attaches it; a line for each document. `source` is the image as something on disk. Raises ArrstackError."""

    def is_complete(self, tier: str, image: Image) -> bool:
        """Whether an image has it already. Raises ArrstackError."""


@dataclass(frozen=True)
class Beside:
    """Attaches a description to published images. It never ends a launch: the image is proved and published."""

    registry: Registry
    steps: Steps
    runner: Runner | None
    description: Description

    def of(self, tier: TierPlan, image: Image, reference: str = "") -> Generator[Event, None, None]:
        """What belongs beside an image of a tier that is decided, where it is not there yet. `reference` is the image in the builder's
        store, where it was built just now."""
        remedy, step = f"`arrstack sbom {tier.name} --attach` attaches it", f"{tier.name}/{BILL}"
        try:
            if self.description.is_complete(tier.name, image):
                return
            with self.steps.scratch() as folder:
                source = self.registry.reference(tier.name, tier.tag)
                if not source.startswith("oci:"):
                    if not reference or self.runner is None:  # to fetch an image for it alone is a person's choice
                        yield Event(EventKind.LOG, tier.name, f"no bill of materials is attached: {remedy}")
                        return
                    source = self.runner.layout(reference, folder)
                began = self.steps.clock()
                yield Event(EventKind.PHASE, step, "bill of materials", 0.0, remaining=self.steps.memory.durations().get(step))
                for line in self.description.attach(tier.name, image, source):
                    yield Event(EventKind.LOG, step, line)
                with self.steps.writing:
                    self.steps.memory.remember(step, self.steps.clock() - began)
            yield Event(EventKind.DONE, step, "attached")
        except ArrstackError as error:
            yield Event(EventKind.WARNING, tier.name, f"no bill of materials was attached: {error.message}; {remedy}")
            yield Event(EventKind.DONE, step, "not attached")
