"""The commands that `infra check` prints, run by the real gcloud against the services that `infra apply` asks: both make the same. Skipped where
gcloud is not installed: it is in no package index that tests may ask."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from arrstack.gcp.api import Api
from arrstack.gcp.difference import Kind, Resource, Verdict
from arrstack.gcp.infra import Infra
from arrstack.gcp.names import Names
from arrstack.gcp.wanted import SERVICES, wanted
from arrstack.recipes.config import load
from tests.conftest import ROOT
from tests.fakes.google.control import Control
from tests.fakes.google.server import GoogleServer

pytestmark = pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is not installed")
APIS = ("SERVICEUSAGE", "CLOUDRESOURCEMANAGER", "IAM", "CLOUDBUILD", "ARTIFACTREGISTRY", "CLOUDQUOTAS")


def one_of_each(resources: tuple[Resource, ...]) -> dict[str, Resource]:
    """A resource of each kind, and a role on each kind of thing: gcloud takes a second or two for each command."""
    found: dict[str, Resource] = {}
    for each in resources:
        on = f" on {each.wants['on'].partition(' ')[0]}" if each.kind is Kind.ROLE else ""
        found.setdefault(f"{each.kind}{on}", each)
    return found


def test_every_kind_of_command_makes_what_the_check_looks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with GoogleServer() as google:
        control = Control(google, services=set(SERVICES))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(google.login(tmp_path)))
        endpoints = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}": f"{google.address}/" for name in APIS}
        endpoints["CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"] = f"{google.address}/storage/v1/"
        (tmp_path / "token").write_text("a-token")
        settings = {"CONFIG": tmp_path / "config", "CORE_DISABLE_PROMPTS": 1, "AUTH_ACCESS_TOKEN_FILE": tmp_path / "token"}
        environment = {f"CLOUDSDK_{name}": str(value) for name, value in settings.items()} | endpoints
        environment |= {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}

        names = Names("my-project", "us-central1", load(ROOT / "stack.toml").stack.cloud)
        infra = Infra(Api("my-project", endpoints, lambda _: None), names)
        resources = one_of_each(wanted(names, ["latest"], "user:me@example.com"))
        assert len(resources) == 10
        for resource in resources.values():
            done = subprocess.run(["bash", "-c", resource.command], env=environment, capture_output=True, text=True, timeout=200)
            assert done.returncode == 0, f"{resource.command}\n{done.stderr}"
        rows = infra.check(list(resources.values()))
        assert {row.verdict for row in rows} == {Verdict.OK, Verdict.WAITS}, [
            row for row in rows if row.verdict is not Verdict.OK
        ]
        assert [row.resource.kind for row in rows if row.verdict is Verdict.WAITS] == [Kind.QUOTA]
        assert "enable serviceusage.googleapis.com" in control.changes
