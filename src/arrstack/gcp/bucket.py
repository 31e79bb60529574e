"""Cloud Storage: the staging bucket, objects that are uploaded once, leases, and a log that is read while it grows.

Every write has a precondition (`ifGenerationMatch`), so that two launches do not spoil each other. Times are the server's: of what it
says in its Date header, so a clock of this machine that is wrong makes no lease stale.

    bucket = Bucket(api, "my-project-arrstack-staging", "us-central1")
    bucket.ensure()
    generation = bucket.upload(Path("source.tar.gz"), "sources/1f0c.tar.gz")
"""

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arrstack.errors import ConfigError, RegistryError
from arrstack.gcp.api import TIMEOUT, Api, cause

if TYPE_CHECKING:
    from google.cloud.storage import Bucket as StorageBucket
    from google.cloud.storage import Client

SOURCES = "sources/"
"""What stands before the names of sources, which the lifecycle rule deletes."""
LEASES = "leases/"
KEPT_DAYS = 7
"""Days after which the bucket itself deletes a source."""
DELAYS = (1.0, 4.0, 8.0)
"""Seconds between the attempts to see a bucket that was made just now."""
LOG_BYTES = 4 << 20
"""The most that is read of a log at once."""
UPLOAD_SECONDS = 300.0


@dataclass(frozen=True)
class Lease:
    """Who may create a build: one at a time. `seconds` after it was written anybody may take it. `build` is what its owner created."""

    owner: str
    purpose: str
    seconds: float
    build: str = ""
    generation: int = 0
    age: float = 0.0
    """Seconds since it was written, by the server's clock."""

    @property
    def stale(self) -> bool:
        return self.age >= self.seconds


@dataclass(frozen=True)
class Bucket:
    api: Api
    name: str
    region: str
    delays: Sequence[float] = DELAYS
    sleep: Callable[[float], None] = time.sleep
    _skew: list[float] = field(default_factory=lambda: [0.0], repr=False, compare=False)
    """How far the server's clock is ahead of this machine's, in seconds, by its last answer."""

    @cached_property
    def _client(self) -> "Client":
        from google.cloud.storage import Client

        # A thread of its would else ask for every bucket's metadata, for traces that nobody collects here.
        os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
        session = self.api.session
        session.hooks["response"].append(self._see_clock)
        endpoint = self.api.endpoint("storage").removesuffix("/storage/v1")
        options = {"api_endpoint": endpoint} if endpoint else None
        return Client(self.api.project, self.api.credentials, _http=session, client_options=options)

    @cached_property
    def _bucket(self) -> "StorageBucket":
        return self._client.bucket(self.name)

    def _see_clock(self, response: Any, *_: object, **__: object) -> None:
        try:
            now = parsedate_to_datetime(response.headers["Date"])
        except (KeyError, ValueError, TypeError):
            return
        self._skew[0] = now.timestamp() - time.time()

    @property
    def _resource(self) -> str:
        return f"bucket gs://{self.name}"

    # -- the bucket

    def ensure(self) -> None:
        """Makes the bucket where it is missing, with a rule that deletes old sources, and waits until it is seen.

        Raises RegistryError; ConfigError where the name is taken by another project.
        """
        if not self._seen():
            self._make()
        elif not self.api.call("look for the bucket", self._resource, self._ours):
            raise self._taken("it is not among the project's")

    def _seen(self) -> bool:
        """Whether the bucket is there. Raises ConfigError where it is another project's."""
        from google.api_core.exceptions import Forbidden, NotFound

        def get() -> bool:
            try:
                self._client.get_bucket(self.name, timeout=TIMEOUT, retry=None)
            except NotFound:
                return False
            except Forbidden as error:
                if self._ours():
                    raise
                raise self._taken(cause(error)) from None
            return True

        return self.api.call("look for the bucket", self._resource, get)

    def _ours(self) -> bool:
        """Whether the bucket is the project's own: whoever guesses its name may have made it first, to get what is uploaded.

        Who may not list the project's buckets cannot tell, is told so, and goes on.
        """
        from google.api_core.exceptions import Forbidden

        try:
            found = list(self._client.list_buckets(prefix=self.name, timeout=TIMEOUT, retry=None))
        except Forbidden:
            self.api.show(f"whether {self._resource} is the project's own cannot be told: storage.buckets.list is not granted")
            return True
        return any(bucket.name == self.name for bucket in found)

    def _taken(self, why: str) -> ConfigError:
        return ConfigError(
            f"{self._resource} belongs to another project than {self.api.project}: {why}",
            "name another one in stack.toml: cloud.staging-bucket",
        )

    def _make(self) -> None:
        from google.api_core.exceptions import Conflict

        def create() -> None:
            bucket = self._client.bucket(self.name)
            bucket.iam_configuration.uniform_bucket_level_access_enabled = True
            bucket.add_lifecycle_delete_rule(age=KEPT_DAYS, matches_prefix=[SOURCES, LEASES])
            try:
                bucket.create(location=self.region, timeout=TIMEOUT, retry=None)
            except Conflict as error:  # another launch's, a moment ago, or another project's
                if not self._ours():
                    raise self._taken(cause(error)) from None

        self.api.show(f"making {self._resource} in {self.region}")
        self.api.call("make the bucket", self._resource, create)
        for delay in (0.0, *self.delays):
            if delay:
                self.api.show(f"{self._resource} was made and is not seen yet; asking again in {delay:g} s")
                self.sleep(delay)
            if self._seen():
                return
        raise RegistryError(
            f"{self._resource} was made, but is not seen after {sum(self.delays):g} s", "launch again in a minute"
        )

    # -- sources

    def upload(self, file: Path, name: str) -> int:
        """Uploads an object that is named by its content, unless it is there; returns its generation. Raises RegistryError."""
        from google.api_core.exceptions import NotFound, PreconditionFailed

        resource = f"gs://{self.name}/{name}"

        def send() -> int:
            blob = self._bucket.blob(name)
            old = 0
            try:
                blob.reload(timeout=TIMEOUT, retry=None)
                # What the lifecycle rule is about to delete is sent anew: a build may wait in its queue.
                if blob.size == file.stat().st_size and self._age(blob.time_created) < (KEPT_DAYS - 1) * 86400:
                    return int(blob.generation)
                old = int(blob.generation)
            except NotFound:
                blob = self._bucket.blob(name)
            try:
                blob.upload_from_filename(
                    str(file), if_generation_match=old, timeout=UPLOAD_SECONDS, retry=None, checksum="crc32c"
                )
            except PreconditionFailed:  # another launch was faster, or this one's answer was lost
                blob.reload(timeout=TIMEOUT, retry=None)
            return int(blob.generation)

        return self.api.call("upload the sources", resource, send)

    def _age(self, when: datetime | None) -> float:
        """Seconds since a time of the server's."""
        return time.time() + self._skew[0] - when.timestamp() if when else 0.0

    # -- leases

    def take(self, name: str, owner: str, purpose: str, seconds: float) -> Lease:
        """The lease of that name: ours (`owner` says so) where nobody held it or it was stale, else the one that another holds."""
        held = self.lease(name)
        if held and not held.stale and held.owner != owner:
            return held
        mine = self.write(name, Lease(owner, purpose, seconds), held.generation if held else 0)
        return mine or self.lease(name) or self.take(name, owner, purpose, seconds)

    def lease(self, name: str) -> Lease | None:
        """Who holds it; None where nobody does, or what is there is no lease."""
        from google.api_core.exceptions import NotFound

        def get() -> Lease | None:
            blob = self._bucket.blob(LEASES + name)
            try:
                blob.reload(timeout=TIMEOUT, retry=None)
                told = json.loads(blob.download_as_bytes(timeout=TIMEOUT, retry=None))
            except NotFound:
                return None
            except ValueError:
                told = {}
            place: dict[str, Any] = {"generation": int(blob.generation), "age": max(self._age(blob.updated), 0.0)}
            try:
                return Lease(str(told["owner"]), str(told["purpose"]), float(told["seconds"]), str(told["build"]), **place)
            except (KeyError, TypeError, ValueError):
                return Lease("somebody", "unknown", 0.0, **place)

        return self.api.call("ask for the lease", f"gs://{self.name}/{LEASES}{name}", get)

    def write(self, name: str, lease: Lease, generation: int) -> Lease | None:
        """Writes the lease over that generation (0: over none); None where another was faster."""
        from google.api_core.exceptions import PreconditionFailed

        def put() -> Lease | None:
            blob = self._bucket.blob(LEASES + name)
            text = json.dumps({k: v for k, v in asdict(lease).items() if k not in ("generation", "age")})
            try:
                blob.upload_from_string(
                    text, "application/json", if_generation_match=generation, timeout=TIMEOUT, retry=None, checksum="crc32c"
                )
            except PreconditionFailed:
                return None
            return replace(lease, generation=int(blob.generation))

        return self.api.call("take the lease", f"gs://{self.name}/{LEASES}{name}", put)

    def release(self, name: str, lease: Lease) -> None:
        """Gives the lease back, if it is still this one."""
        from google.api_core.exceptions import NotFound, PreconditionFailed

        def delete() -> None:
            try:
                self._bucket.blob(LEASES + name).delete(if_generation_match=lease.generation, timeout=TIMEOUT, retry=None)
            except (NotFound, PreconditionFailed):
                return

        self.api.call("give the lease back", f"gs://{self.name}/{LEASES}{name}", delete)

    # -- logs

    def read(self, name: str, start: int) -> bytes:
        """What an object that grows has from `start` on; nothing where it is not there yet (404) or is no longer (416)."""
        from google.api_core.exceptions import NotFound, RequestRangeNotSatisfiable

        def get() -> bytes:
            blob = self._bucket.blob(name)
            try:
                return bytes(
                    blob.download_as_bytes(
                        start=start, end=start + LOG_BYTES - 1, raw_download=True, timeout=TIMEOUT, retry=None, checksum=None
                    )
                )
            except (NotFound, RequestRangeNotSatisfiable):
                return b""

        return self.api.call("read the log", f"gs://{self.name}/{name}", get)
