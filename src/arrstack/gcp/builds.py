"""The builds of Cloud Build in one region: looked up by tag, created once, read, cancelled.

CreateBuild has no request id: after a failure that leaves open whether there is a build now, its tag is looked up before another is
created (`create`).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from arrstack.errors import ConfigError
from arrstack.gcp.api import TIMEOUT, Api, errors, unclear

if TYPE_CHECKING:
    from google.cloud.devtools.cloudbuild_v1 import CloudBuildClient
    from google.cloud.devtools.cloudbuild_v1.types import Build

LOOKS = (1.0, 2.0, 4.0)
"""Seconds between the looks for a build that may have been created: a list may be behind."""
LISTED = 20


@dataclass(frozen=True)
class Found:
    """A build as far as a launch goes by it. `status` is the name of `Build.Status`."""

    id: str
    name: str
    status: str
    detail: str
    log_bucket: str
    log_url: str
    timeout: float
    failed_step: str = ""
    exit_code: int = 0

    @property
    def running(self) -> bool:
        return self.status in ("STATUS_UNKNOWN", "PENDING", "QUEUED", "WORKING")

    @property
    def log_object(self) -> str:
        return f"log-{self.id}.txt"


@dataclass(frozen=True)
class Builds:
    """`location` is projects/PROJECT/locations/REGION."""

    api: Api
    location: str
    looks: Sequence[float] = LOOKS
    sleep: Callable[[float], None] = time.sleep

    def _client(self) -> "CloudBuildClient":
        from google.cloud.devtools.cloudbuild_v1 import CloudBuildClient

        return self.api.client(CloudBuildClient, "cloudbuild")

    def get(self, name: str) -> Found:
        """A build by its full name. Raises RegistryError."""
        from google.cloud.devtools.cloudbuild_v1.types import GetBuildRequest

        client = self._client()
        request = GetBuildRequest(name=name)
        got = self.api.call("read the build", f"build {name}", lambda: client.get_build(request, retry=None, timeout=TIMEOUT))
        return self._found(got)

    def running(self, tag: str) -> Found | None:
        """The build with that tag that waits or runs: the one that was created first, where there are several."""
        return next((found for found in self.tagged(tag) if found.running), None)

    def tagged(self, tag: str) -> list[Found]:
        """The last builds with that tag, those that were created first first. Raises RegistryError."""
        from google.cloud.devtools.cloudbuild_v1.types import ListBuildsRequest

        client = self._client()
        request = ListBuildsRequest(parent=self.location, filter=f'tags="{tag}"', page_size=LISTED)

        def ask() -> "list[Build]":
            pages = client.list_builds(request, retry=None, timeout=TIMEOUT).pages
            return list(next(iter(pages)).builds)  # the newest come first

        listed = self.api.call("look for a running build", f"{self.location} tag {tag}", ask)
        return [self._found(build) for build in reversed(listed)]

    def create(self, build: Mapping[str, Any], source: tuple[str, str, int], tag: str, renew: Callable[[], None]) -> Found:
        """Creates a build from its JSON form, with a source (bucket, object, generation) and that tag, unless there is one already.

        `renew` is called before each attempt. Raises RegistryError; ConfigError where the service refuses what the build says.
        """
        from google.api_core.exceptions import BadRequest
        from google.cloud.devtools.cloudbuild_v1.types import Build, CreateBuildRequest, Source, StorageSource
        from google.protobuf import json_format

        bucket, name, generation = source
        wanted = Build(json_format.ParseDict(dict(build), Build.pb(Build())))
        wanted.source = Source(storage_source=StorageSource(bucket=bucket, object_=name, generation=generation))
        request = CreateBuildRequest(parent=self.location, build=wanted)
        client, asked = self._client(), False
        known = frozenset(found.id for found in self.tagged(tag))

        def once() -> Found:
            nonlocal asked
            if asked and (found := self._appeared(tag, known)):
                return found
            renew()
            try:
                operation = client.create_build(request, retry=None, timeout=TIMEOUT)
            except BadRequest as error:
                if "quota" in str(error):
                    raise
                raise ConfigError(
                    f"Cloud Build refuses the build: {error.message}", "compare the tier's cloudbuild.yaml with stack.toml"
                ) from None
            except errors() as error:
                asked = asked or unclear(error)
                raise
            return self._found(operation.metadata.build)

        return self.api.call("create the build", f"{self.location} tag {tag}", once)

    def _appeared(self, tag: str, known: frozenset[str]) -> Found | None:
        """The build that a failed call may have created, which may have ended by now: one whose id was not known before."""
        for seconds in (0.0, *self.looks):
            if seconds:
                self.api.show(f"whether a build was created is not known; looking for one with tag {tag} again in {seconds:g} s")
                self.sleep(seconds)
            if found := next((each for each in self.tagged(tag) if each.id not in known), None):
                return found
        return None

    def cancel(self, name: str) -> None:
        """Raises RegistryError. What has ended stays as it is."""
        from google.api_core.exceptions import BadRequest
        from google.cloud.devtools.cloudbuild_v1.types import CancelBuildRequest

        client = self._client()

        def ask() -> None:
            try:
                client.cancel_build(CancelBuildRequest(name=name), retry=None, timeout=TIMEOUT)
            except BadRequest:
                return

        self.api.call("cancel the build", f"build {name}", ask)

    def _found(self, build: "Build") -> Found:
        failed = next((step for step in build.steps if step.status.name in ("FAILURE", "TIMEOUT", "INTERNAL_ERROR")), None)
        detail = build.status_detail or (build.failure_info.detail if build.failure_info else "")
        return Found(
            build.id,
            build.name or f"{self.location}/builds/{build.id}",
            build.status.name,
            detail,
            build.logs_bucket.removeprefix("gs://"),
            build.log_url,
            build.timeout.total_seconds() if build.timeout else 0.0,
            failed.id if failed else "",
            failed.exit_code if failed else 0,
        )
