"""The seed's command word for word, with its log streamed: gcloud reads the log object from Google's own host name, which ends on this
machine. Skipped where gcloud is not installed: it is in no package index that tests may ask."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fakes.google.cloud import GoogleCloud, google_cloud
from tests.fakes.google.server import ApiError, Request, Response, problem
from tests.fakes.google.tls import HOST, Proxy, tls_proxy

pytestmark = pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is not installed")
COMMAND = "gcloud builds submit --config Stack/arr-pytorch-base/cloudbuild.yaml --substitutions=_MAX_JOBS=176 ."
SCRIPT = """echo "CHONK: [15%] CMake patches applied, $2 with $MAX_JOBS jobs"
[ "$2" != "$FAILING" ]
"""


@dataclass
class Place:
    cloud: GoogleCloud
    proxy: Proxy
    home: Path

    def submit(self) -> "subprocess.CompletedProcess[str]":
        (self.home / "token").write_text("a-token")
        settings = {"CONFIG": self.home / "config", "CORE_PROJECT": "my-project", "CORE_DISABLE_PROMPTS": 1}
        environment = {f"CLOUDSDK_{name}": str(value) for name, value in settings.items()}
        environment |= {name: value for name, value in self.cloud.environment.items() if name.startswith("CLOUDSDK_")}
        environment |= {
            "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(self.home / "token"),
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
        }
        environment |= {
            "HTTPS_PROXY": self.proxy.address,
            "NO_PROXY": "127.0.0.1",
            "REQUESTS_CA_BUNDLE": str(self.proxy.authority),
        }
        return subprocess.run(
            COMMAND.split(), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False
        )


def ranged(cloud: GoogleCloud, request: Request) -> Response:
    """A log object by its public address, from a byte on (RFC 9110, 14.2)."""
    _, bucket, name = request.path.split("/", 2)
    data = cloud.storage.get(bucket, name)
    begin = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
    if data is None:
        return problem(ApiError(404, "no such object"))
    if begin >= len(data):
        return Response(416)
    return Response(206, {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"}, data[begin:])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with google_cloud(tmp_path) as cloud, tls_proxy(cloud.google.address, tmp_path) as proxy:
        cloud.builds.prepare = lambda worker: (worker / "Stack/cloud-build/part.sh").write_text(SCRIPT) and None
        cloud.google.plain("GET", r"/[^/]+/log-[^/]+\.txt", lambda request: ranged(cloud, request))
        yield Place(cloud, proxy, tmp_path)


def test_the_seeds_command_builds_and_shows_the_log_of_every_part(place: Place) -> None:
    done = place.submit()
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for part in ("torch", "vision", "audio", "image", "tag"):
        assert f"CHONK: [15%] CMake patches applied, {part} with 176 jobs" in done.stdout
    assert "STATUS" in done.stdout and "SUCCESS" in done.stdout
    assert set(place.proxy.asked) == {f"{HOST}:443"}


def test_a_part_that_fails_ends_the_command_and_no_later_part_begins(place: Place) -> None:
    place.cloud.builds.environment = {**place.cloud.builds.environment, "FAILING": "vision"}
    done = place.submit()
    assert done.returncode
    assert "vision with 176 jobs" in done.stdout and "audio with 176 jobs" not in done.stdout
    assert "FAILURE" in done.stdout + done.stderr or "failed" in done.stderr
