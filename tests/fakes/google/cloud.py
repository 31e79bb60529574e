"""All of it on one address: Cloud Build, Cloud Storage, a login."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.google.builds import CloudBuildFake
from tests.fakes.google.server import GoogleServer
from tests.fakes.google.storage import Storage, storage


@dataclass(frozen=True)
class GoogleCloud:
    """`environment` is what a client needs: endpoints by gcloud's own variables, and a login."""

    google: GoogleServer
    storage: Storage
    builds: CloudBuildFake
    environment: Mapping[str, str]


@contextlib.contextmanager
def google_cloud(folder: Path, workers: Mapping[str, str] | None = None) -> Iterator[GoogleCloud]:
    """`workers` is what the steps of builds see of the environment."""
    with GoogleServer() as google, storage(google) as objects:
        builds = CloudBuildFake(google, objects, folder / "workers", workers or {})
        environment = {
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBUILD": f"{google.address}/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{google.address}/storage/v1/",
            "GOOGLE_APPLICATION_CREDENTIALS": str(google.login(folder)),
        }
        try:
            yield GoogleCloud(google, objects, builds, environment)
        finally:
            builds.close()
