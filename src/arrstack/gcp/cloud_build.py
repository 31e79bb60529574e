"""Cloud Build as a builder: a step of a launch is a build there, which runs the product itself on the uploaded sources.

That build proves what it made and publishes it under its key (Stack/cloud-build/part.sh): here it is created at most once, followed, and
looked up in the registry. A build of the same key that runs already, whoever started it, is followed in place of a new one.
"""

import re
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO

from arrstack.errors import ArrstackError, BuildError, RegistryError, VerificationError
from arrstack.gcp.bucket import SOURCES, Bucket, Lease
from arrstack.gcp.builds import Builds, Found
from arrstack.gcp.source import Archive
from arrstack.machine.process import Stopped, stopping
from arrstack.model import BuildStep, Image, State, sha256
from arrstack.recipes.config import Base
from arrstack.registry import Registry

NAME = "cloudbuild"
PREFIX = re.compile(r'^Step #\d+(?: - "[^"]*")?: ')
"""What Cloud Build puts before each line of a step's log."""
LEASE_SECONDS = 300.0
"""How long one launch may take to create a build: more than what its calls are tried again for."""
STATUS_SECONDS = 3.0
"""Seconds between two looks at a build's status; the quota of such calls is the project's."""
LATE_SECONDS = 20.0
"""Seconds that the end of a finished build's log is waited for."""
ENDED = re.compile(r"^(?:DONE|ERROR: (?:build step|context|failed).*|CANCELLED|TIMEOUT)\s*$", re.MULTILINE)
"""The last line of a whole log."""

SAID = {
    "PENDING": "is being created",
    "QUEUED": "waits for a machine",
    "WORKING": "runs",
    "SUCCESS": "is finished",
    "FAILURE": "failed",
    "INTERNAL_ERROR": "was lost: Cloud Build's own error, or its machine is gone",
    "TIMEOUT": "ran into its timeout",
    "CANCELLED": "was cancelled",
    "EXPIRED": "waited in the queue for longer than it may",
    "STATUS_UNKNOWN": "is in a state that Cloud Build does not tell",
}
REMEDY = {
    "INTERNAL_ERROR": "launch again: wheels that are published stay, and the compiler cache of at most ten minutes ago",
    "TIMEOUT": "a machine with more processors (cloud.pool), or a longer `timeout` in the tier's cloudbuild.yaml; "
    "a new launch begins with the compiler cache of at most ten minutes ago",
    "CANCELLED": "launch again to build it; `gcloud builds describe` says who cancelled it",
    "EXPIRED": "the quota of processors may be too small for the pool's machines: `arrstack infra check`; or a longer `queueTtl`",
}


@dataclass(frozen=True)
class CloudBuild:
    """A Builder; see `engines.protocols` for what each method promises. It keeps nothing but what is published."""

    builds: Builds
    bucket: Bucket
    """For sources and leases."""
    registry: Registry
    order: Callable[[BuildStep], Mapping[str, Any]]
    """The build that a step is, in the JSON form of google.devtools.cloudbuild.v1.Build."""
    sources: Callable[[], Archive]
    """Packs what the builds read."""
    cancel: Callable[[str], bool]
    """Asks, when a launch is ended, whether a build is to be cancelled: else it goes on."""
    owner: str
    """Who launches, for the others."""
    name: str = NAME
    keeps_stages: bool = False
    clock: Callable[[], float] = time.monotonic
    poll: float = 1.0
    """Seconds between two reads of a log."""
    late: float = LATE_SECONDS
    _logs: dict[str, Bucket] = field(default_factory=dict, repr=False, compare=False)

    def base(self, base: Base, archive: str) -> str:
        return f"base:{sha256(f'{base} {archive}')[:12]}"  # made where the build is

    def make_base(self, base: Base, archive: str, log: BinaryIO) -> Generator[str, None, str]:
        yield from ()
        return self.base(base, archive)

    def available(self, image: Image) -> str:
        answer = self.registry.lookup(image.repository, image.digest)
        if answer.state is State.ABSENT:
            raise RegistryError(f"{self.registry.name} no longer holds {image.repository}@{image.digest}")
        return f"{image.repository}@{image.digest}"

    def holds(self, reference: str) -> bool:
        return self.registry.lookup(*split(reference)).state is State.PRESENT

    def publish(self, reference: str, repository: str, tag: str) -> Image:
        answer = self.registry.lookup(repository, tag)
        if answer.image is None:
            raise RegistryError(
                f"the build ended well, but {self.registry.name} does not show {repository}:{tag}: {answer.reason or answer.state}",
                "files that were changed while the launch ran, or another --registry, make another key: launch again",
            )
        return answer.image

    def offer(self, reference: str) -> None:
        """Nobody asks this machine for what is in the registry."""

    def tidy(self) -> None:
        """What was killed there is Cloud Build's own to remove."""

    # -- building

    def build(self, step: BuildStep, reference: str, log: BinaryIO) -> Generator[str, None, str]:
        tag = build_tag(reference)
        build = self.builds.running(tag) or (yield from self._created(step, reference, tag))
        if build is None:
            return reference
        ended = yield from self._watched(build, step, log)
        lease = self.bucket.lease(tag)
        if lease and lease.build == build.name:
            self.bucket.release(tag, lease)
        if ended.status != "SUCCESS":
            raise failed(step.name, ended)
        return reference

    @cached_property
    def _staged(self) -> tuple[str, str, int]:
        """The sources of this launch, uploaded once: bucket, object, generation."""
        self.bucket.ensure()
        packed = self.sources()
        name = SOURCES + packed.name
        generation = self.bucket.upload(packed.path, name)
        packed.path.unlink()
        return self.bucket.name, name, generation

    def _created(self, step: BuildStep, reference: str, tag: str) -> Generator[str, None, Found | None]:
        """The build of the tag: a new one, or the one that somebody else creates now; None where that one is finished already."""
        source = self._staged
        while True:
            lease = self.bucket.take(tag, self.owner, step.name, LEASE_SECONDS)
            if lease.owner == self.owner:
                break
            left = max(lease.seconds - lease.age, 0.0)
            if lease.build and (build := self.builds.get(lease.build)).running:
                yield f"{lease.owner} started this build: it is followed"
                return build
            if lease.build:  # it has ended
                self.bucket.release(tag, lease)
                continue
            yield f"{lease.owner} is creating this build; waiting for it, {left:.0f} s at most"
            self._pause(min(self.poll, left + 1))
            if running := self.builds.running(tag):
                return running
        if self.holds(reference):  # since the plan was made
            self.bucket.release(tag, lease)
            yield f"{reference.rpartition('/')[2]} was published meanwhile"
            return None
        return self.builds.running(tag) or self._create(step, tag, source)

    def _create(self, step: BuildStep, tag: str, source: tuple[str, str, int]) -> Found:
        """Creates the build under the lease, which is taken anew for each attempt."""
        order = dict(self.order(step))
        order["tags"] = [*order.get("tags", []), tag]

        def renew() -> None:
            held = self.bucket.take(tag, self.owner, step.name, LEASE_SECONDS)
            if held.owner != self.owner:
                raise RegistryError(f"{held.owner} creates this build now", "launch again: it then follows that build")

        try:
            build = self.builds.create(order, source, tag, renew)
        except ArrstackError:
            if (held := self.bucket.lease(tag)) and held.owner == self.owner:
                self.bucket.release(tag, held)
            raise
        # Who comes now follows it, even where a list does not show it yet.
        if (held := self.bucket.lease(tag)) and held.owner == self.owner:
            self.bucket.write(tag, Lease(self.owner, step.name, LEASE_SECONDS, build.name), held.generation)
        return build

    def _watched(self, build: Found, step: BuildStep, log: BinaryIO) -> Generator[str, None, Found]:
        """Follows the build to its end. Where the launch is ended before, a person says what becomes of it."""
        try:
            return (yield from self._followed(build, step, log))
        except (GeneratorExit, KeyboardInterrupt, Stopped):
            if self.cancel(f"Cancel build {build.id} of {step.name}? If not, it goes on, and the next launch follows it."):
                self.builds.cancel(build.name)
            raise

    def _followed(self, build: Found, step: BuildStep, log: BinaryIO) -> Generator[str, None, Found]:
        yield f"build {build.id}: {build.log_url or build.name}"
        told, asked, now = "", self.clock(), build
        text = Text(step.name)
        position = 0
        ended_at: float | None = None
        while True:
            if now.status != told:
                told = now.status
                yield f"build {now.id} {SAID.get(told, told)}{f': {now.detail}' if now.detail else ''}"
            data = self._log_bucket(now).read(now.log_object, position) if now.log_bucket else b""
            position += len(data)
            yield from logged(text.lines(data), log)
            if not now.running and not data:
                if ended_at is None and not text.whole and now.log_bucket:
                    yield f"waiting for the end of the log, {self.late:.0f} s at most"
                ended_at = self.clock() if ended_at is None else ended_at
                if text.whole or not now.log_bucket or self.clock() - ended_at > self.late:
                    break
            if not data:
                self._pause(self.poll)
            if now.running and self.clock() - asked >= min(STATUS_SECONDS, 3 * self.poll):
                now, asked = self.builds.get(now.name), self.clock()
        yield from logged(text.rest(), log)
        if not text.whole and now.log_bucket:
            yield f"warning: the end of gs://{now.log_bucket}/{now.log_object} did not come within {self.late:.0f} s"
        return now

    def _log_bucket(self, build: Found) -> Bucket:
        name = build.log_bucket.partition("/")[0]
        return self._logs.setdefault(name, Bucket(self.bucket.api, name, self.bucket.region))

    def _pause(self, seconds: float) -> None:
        """Raises Stopped when this thread's work is no longer wanted."""
        stop = stopping.get()
        if stop is None:
            time.sleep(seconds)
        elif stop.wait(seconds):
            raise Stopped


@dataclass
class Text:
    """A log's bytes -> the lines that the build of that step would say on this machine."""

    step: str
    whole: bool = False
    """Whether the log's last line was seen."""
    _left: bytes = b""

    def lines(self, data: bytes) -> Generator[str, None, None]:
        *lines, self._left = (self._left + data).split(b"\n")
        for line in lines:
            yield self._line(line)

    def rest(self) -> Generator[str, None, None]:
        if self._left:
            yield self._line(self._left)
        self._left = b""

    def _line(self, data: bytes) -> str:
        line = data.decode(errors="replace").rstrip("\r")
        self.whole = self.whole or bool(ENDED.match(line))
        return PREFIX.sub("", line).removeprefix(f"{self.step}: ")


def logged(lines: Iterable[str], log: BinaryIO) -> Generator[str, None, None]:
    """The lines, each in the log before it is told. The very bytes are in the log's object."""
    for line in lines:
        log.write(f"{line}\n".encode(errors="replace"))
        yield line


def split(reference: str) -> tuple[str, str]:
    """Repository and tag of a reference as launch makes it: `localhost/arrstack/TIER:TAG`."""
    repository, _, tag = reference.rpartition("/")[2].partition(":")
    return repository, tag


def build_tag(reference: str) -> str:
    """The tag of the builds that make a reference: its repository and key, as Cloud Build takes it (`^[\\w][\\w.-]{0,127}$`)."""
    repository, tag = split(reference)
    return f"{repository}.{tag}"[:128]


def failed(step: str, build: Found) -> ArrstackError:
    """What a build that did not end well means."""
    where = f", in its step '{build.failed_step}'" if build.failed_step else ""
    limit = f" of {build.timeout:.0f} s" if build.status == "TIMEOUT" and build.timeout else ""
    detail = f" ({build.detail})" if build.detail else ""
    message = f"{step}: build {build.id} {SAID.get(build.status, build.status)}{limit}{where}{detail}"
    hint = REMEDY.get(build.status, f"its whole log: {build.log_url or build.name}")
    if build.exit_code == VerificationError.status:
        return VerificationError(message, hint)
    return BuildError(message, hint)
