"""The record of a build, attached to what it made, as a document of the kind KIND (docs/design/google-cloud.md):

    {"machine": "c3-standard-176", "cores": 176, "builder": "sha256:...", "minutes": 21.4, "peak_memory_bytes": ..., "peak_disk_bytes": ...,
     "cache_hits": 8100, "cache_objects": 8231, "built": "2026-11-27T04:00:00+00:00"}

`peak_disk_bytes` is what the build added to the disk at most. `cache_*` are null where the build asked no compiler cache, `builder` where it ran
in no image.
"""

import contextlib
import json
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from arrstack.errors import RegistryError
from arrstack.machine.usage import InUse, Peaks, watched
from arrstack.model import Event, EventKind, Image
from arrstack.registry import Registry
from arrstack.registry.attachments import Attachment

KIND = "application/vnd.arrstack.build-record.v1+json"


@dataclass(frozen=True)
class Took:
    """What one build took: seconds, the machine's peaks, the compiler cache's hits and the objects it was asked for."""

    seconds: float
    peaks: Peaks
    cache: tuple[int, int] | None


@dataclass(frozen=True)
class Recorder:
    """Keeps the records of a launch's builds. What cannot be kept is said, and fails nothing."""

    registry: Registry
    look: Callable[[], InUse]
    machine: str
    """The machine's type, as its owner calls it."""
    builder: str
    """The digest of the image that the build ran in; '' for none."""
    cores: int
    _built: dict[str, Took] = field(default_factory=dict, repr=False, compare=False)

    @contextlib.contextmanager
    def watching(self) -> Iterator[Peaks]:
        with watched(self.look) as peaks:
            yield peaks

    def note(self, reference: str, took: Took) -> None:
        """Remembers what was built as `reference`, until it is published."""
        self._built[reference] = took

    def keep(self, step: str, image: Image, reference: str, now: datetime) -> Generator[Event, None, None]:
        """Attaches the record of what was built as `reference` and published as `image`."""
        took = self._built.get(reference)
        if took is None:
            return
        document = Attachment(KIND, KIND, json.dumps(self.told(took, now), sort_keys=True).encode())
        try:
            self.registry.attach(image.repository, image.digest, document)
        except RegistryError as error:
            yield Event(EventKind.WARNING, step, f"the record of its build was not kept: {error.message}")

    def told(self, took: Took, now: datetime) -> dict[str, object]:
        """The record's fields."""
        hits, objects = took.cache or (None, None)
        return {
            "machine": self.machine,
            "cores": self.cores,
            "builder": self.builder or None,
            "minutes": round(took.seconds / 60, 2),
            "peak_memory_bytes": took.peaks.memory,
            "peak_disk_bytes": took.peaks.disk - took.peaks.disk_before,
            "cache_hits": hits,
            "cache_objects": objects,
            "built": now.isoformat(timespec="seconds"),
        }
