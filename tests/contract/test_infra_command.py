"""`arrstack infra` on the command line, against a server of Google's messages."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fakes.google.control import Control
from tests.fakes.google.server import GoogleServer

SERVICES = ("cloudbuild", "serviceusage", "artifactregistry", "cloudresourcemanager", "cloudquotas", "iam")


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Control, dict[str, str]]]:
    with GoogleServer() as server:
        environment = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name.upper()}": server.address for name in SERVICES}
        environment["CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"] = f"{server.address}/storage/v1/"
        environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(server.login(tmp_path_factory.mktemp("login")))
        yield Control(server), environment


def infra(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "arrstack", "infra", *words]
    return subprocess.run(argv, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=120)


def test_a_project_is_looked_at_set_up_and_then_in_order(google: tuple[Control, dict[str, str]]) -> None:
    control, environment = google
    told = infra(environment, "check", "--project", "my-project")
    assert told.returncode == 3, told.stderr
    assert (
        "missing   service" in told.stdout
        and "gcloud services enable cloudbuild.googleapis.com --project=my-project" in told.stdout
    )
    refused = infra(environment, "apply", "--project", "my-project")
    assert refused.returncode == 2 and "nobody said yes" in refused.stderr and control.changes == []
    made = infra(environment, "apply", "--project", "my-project", "--yes", "--json", "--member", "user:me@example.com")
    rows = json.loads(made.stdout)["rows"]
    assert made.returncode == 0 and {row["verdict"] for row in rows} == {"ok", "waits"}, made.stdout
    assert infra(environment, "check", "--project", "my-project").returncode == 0
    left = json.loads(infra(environment, "plan", "--project", "my-project", "--json").stdout)["rows"]
    assert left[0]["kind"] == "quota" and left[0]["command"].startswith("gcloud ")
    assert {(row["kind"], row["verdict"]) for row in left[1:]} == {("builder image", "unpinned")}, (
        "and a check has them end with 0"
    )


def test_a_missing_thing_ends_a_check_with_one(google: tuple[Control, dict[str, str]]) -> None:
    control, environment = google
    infra(environment, "apply", "--project", "my-project", "--yes")
    control.pools.clear()
    assert infra(environment, "check", "--project", "my-project").returncode == 1


def test_without_a_project_it_says_how_to_name_one(tmp_path: Path) -> None:
    told = infra({"CLOUDSDK_CONFIG": str(tmp_path), "GOOGLE_CLOUD_PROJECT": ""}, "check")
    assert told.returncode == 2 and "--project" in told.stderr


def test_without_a_login_every_row_says_so(tmp_path: Path) -> None:
    nobody = {
        "HOME": str(tmp_path),
        "CLOUDSDK_CONFIG": str(tmp_path),
        "NO_GCE_CHECK": "true",
        "GOOGLE_APPLICATION_CREDENTIALS": "",
    }
    told = infra(nobody, "check", "--project", "my-project", "--json")
    assert told.returncode == 3
    asked = [row for row in json.loads(told.stdout)["rows"] if row["kind"] != "builder image"]
    assert asked and all("gcloud auth application-default login" in row["detail"] for row in asked)


def test_a_member_without_its_kind_is_refused() -> None:
    told = infra({}, "check", "--project", "my-project", "--member", "me@example.com")
    assert told.returncode == 2 and "user:me@example.com" in told.stderr
