"""Checks that are new or changed, on images that are published: nothing is built for them."""

from collections.abc import Generator
from dataclasses import dataclass

from arrstack.errors import VerificationError
from arrstack.launch.proof import Proof
from arrstack.launch.steps import Steps
from arrstack.machine.memory import Kind
from arrstack.model import LABEL_CREATED, Event, Image, short
from arrstack.recipes.config import LoadedStack, Tier
from arrstack.registry import Registry

EARLIER = 5
"""So many earlier images are tried where the one under the tag fails a check."""


@dataclass(frozen=True)
class Recheck:
    """Runs a tier's checks on its images in the registry; which image passed which checks is remembered."""

    stack: LoadedStack
    registry: Registry
    steps: Steps
    proof: Proof

    def of(self, tier: Tier, image: Image, checks: str) -> Generator[Event, None, None]:
        """The checks, by their digest, on a published image.

        Raises VerificationError where it fails them. If the profile's tag names it, the tag then names the newest earlier image that
        passes, and stays where none does.
        """
        try:
            yield from self._passed(tier, image, checks)
        except VerificationError as error:
            tag = self.stack.profile.tag
            named = self.registry.lookup(tier.name, tag).image
            if named is None or named.digest != image.digest:
                raise
            earlier = yield from self._newest_that_passes(tier, image, checks)
            if earlier is None:
                hint = f"no earlier image passes either: {tier.name}:{tag} stays what it was; `arrstack launch -v {tier.name}` shows all"
                raise VerificationError(error.message, hint) from None
            self.registry.move_tag(tier.name, tag, earlier)
            raise VerificationError(
                error.message, f"{tier.name}:{tag} is the earlier image {short(earlier.digest)} again, which passes"
            ) from None

    def _passed(self, tier: Tier, image: Image, checks: str) -> Generator[Event, None, None]:
        yield from self.proof.checks(tier, self.steps.available(image))
        with self.steps.writing:
            self.steps.memory.note(Kind.PASSED, f"{image.digest} {checks}")

    def _newest_that_passes(self, tier: Tier, failed: Image, checks: str) -> Generator[Event, None, Image | None]:
        tags = [tag for tag in self.registry.tags(tier.name) if tag.startswith("key-")]
        found = {image.digest: image for tag in tags if (image := self.registry.lookup(tier.name, tag).image)}
        earlier = [image for image in found.values() if image.digest != failed.digest]
        for image in sorted(earlier, key=lambda image: image.labels.get(LABEL_CREATED, ""), reverse=True)[:EARLIER]:
            try:
                yield from self._passed(tier, image, checks)
            except VerificationError:
                continue
            return image
        return None
