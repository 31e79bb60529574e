"""Where there are which GPUs, asked of a server in Compute Engine's form (compute.v1, acceleratorTypes.aggregatedList)."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from arrstack.errors import RegistryError
from arrstack.gcp.accelerators import regions
from arrstack.gcp.api import Api
from tests.fakes.google.server import Fault, GoogleServer, Request, Response

PAGES = {
    "": {
        "items": {
            "zones/us-central1-a": {"acceleratorTypes": [{"name": "nvidia-l4"}, {"name": "nvidia-tesla-t4"}]},
            "zones/us-central1-b": {"acceleratorTypes": [{"name": "nvidia-l4"}]},
            "zones/us-east1-b": {"warning": {"code": "NO_RESULTS_ON_PAGE"}},
        },
        "nextPageToken": "2",
    },
    "2": {"items": {"zones/europe-west4-c": {"acceleratorTypes": [{"name": "nvidia-l4"}, {"name": "nvidia-h100-mega-80gb"}]}}},
}


@pytest.fixture
def google() -> Iterator[GoogleServer]:
    def answer(request: Request) -> Response:
        page = PAGES[dict(request.query).get("pageToken", "")]
        return Response(200, {"Content-Type": "application/json"}, json.dumps(page).encode())

    with GoogleServer() as server:
        server.plain("GET", "/compute/v1/projects/my-project/aggregated/acceleratorTypes", answer)
        yield server


def api(google: GoogleServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(google.login(tmp_path)))
    return Api(
        "my-project", {**os.environ, "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": google.address}, lambda _: None, patience=2.0
    )


def test_each_accelerator_has_its_regions_of_all_pages_once(
    google: GoogleServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = regions(api(google, tmp_path, monkeypatch))
    assert found == {
        "NVIDIA_L4": ("europe-west4", "us-central1"), "NVIDIA_TESLA_T4": ("us-central1",), "NVIDIA_H100_MEGA_80GB": ("europe-west4",),
    }  # fmt: skip


def test_a_service_that_is_not_enabled_is_told(google: GoogleServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = "Compute Engine API compute.googleapis.com has not been used in project my-project before or it is disabled."
    google.faults.append(Fault("acceleratorTypes", status=403, message=message))
    with pytest.raises(RegistryError, match=r"the service compute\.googleapis\.com is not enabled"):
        regions(api(google, tmp_path, monkeypatch))
