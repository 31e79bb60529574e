"""Artifact Registry over the wire, by Google's own host name: TLS, its challenge, its errors, and the login that google-auth finds."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from arrstack import compiler_cache as cache
from arrstack.cli.cache import copy
from arrstack.errors import RegistryError
from arrstack.gcp.names import Names
from arrstack.machine.process import Processes
from arrstack.model import State
from arrstack.recipes.places import Cloud
from arrstack.registry import Patience, Registry, connect
from arrstack.registry.divided import Divided
from tests.fakes.google.artifacts import Artifacts
from tests.fakes.google.server import Fault, GoogleServer
from tests.fakes.google.tls import tls_proxy

SWEPT, KEPT = "arr-coc-registry", "arr-coc-registry-persistent"
IMAGE = "compiler-cache"
"""The image that is made most quickly: one without an engine."""


@dataclass
class Place:
    """A project with both repositories, and a client with its login."""

    google: GoogleServer
    artifacts: Artifacts
    names: Names
    environment: dict[str, str]
    folder: Path

    @property
    def registry(self) -> Registry:
        ways = {name: connect(at, self.environment, Patience(10, 0)) for name, at in self.names.prefixes.items()}
        return Divided(ways, self.names.cloud.repository_of)

    def push(self, text: str = "object") -> None:
        """An image under the tag `full`, by skopeo."""
        entries = self.folder / "ccache/0/1"
        entries.mkdir(parents=True, exist_ok=True)
        (entries / f"{uuid.uuid4().hex[:24]}R").write_text(text)
        scratch = self.folder / uuid.uuid4().hex
        scratch.mkdir()
        cache.push(self.folder / "ccache", self.registry, "full", partial(copy, Processes(self.environment)), scratch)


@pytest.fixture
def place(registry_server: str, tmp_path: Path) -> Iterator[Place]:
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed")
    project = f"p-{uuid.uuid4().hex[:12]}"
    with GoogleServer() as google, tls_proxy(google.address, tmp_path) as proxy:
        artifacts = Artifacts(google, registry_server, {f"{project}/{name}" for name in (SWEPT, KEPT)})
        home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
        login = {"GOOGLE_APPLICATION_CREDENTIALS": str(google.login(tmp_path))}
        environment = home | login | artifacts.environment(proxy)
        yield Place(
            google, artifacts, Names(project, "us-central1", Cloud(persistent=("arr-pytorch-base", IMAGE))), environment, tmp_path
        )


def test_an_image_goes_there_and_is_found_by_its_tag_and_by_its_digest(place: Place) -> None:
    place.push()
    found = place.registry.lookup(IMAGE, "full").image
    assert found and place.registry.lookup(IMAGE, found.digest).image == found
    assert place.registry.reference(IMAGE, "full").startswith(
        f"docker://us-central1-docker.pkg.dev/{place.names.project}/{KEPT}/"
    )
    assert place.registry.pinned(IMAGE, found.digest, place.folder).endswith(f"@{found.digest}")


def test_a_tag_that_is_not_there_is_absent(place: Place) -> None:
    place.push()
    assert place.registry.lookup(IMAGE, "other").state is State.ABSENT
    assert place.registry.lookup("arr-trainer", "latest").state is State.ABSENT


def test_a_repository_that_was_never_made_is_no_absent_image(place: Place) -> None:
    place.artifacts.repositories.remove(f"{place.names.project}/{SWEPT}")
    answer = place.registry.lookup("arr-trainer", "latest")
    assert answer.state is State.UNKNOWN
    assert f'Repository "{SWEPT}" not found' in answer.reason and "arrstack infra apply" in answer.reason
    with pytest.raises(RegistryError, match="not found"):
        place.registry.tags("arr-trainer")


def test_a_refused_permission_names_the_resource_and_the_command_that_tells_the_role(place: Place) -> None:
    place.artifacts.forbidden.add(f"{place.names.project}/{KEPT}")
    answer = place.registry.lookup(IMAGE, "full")
    assert answer.state is State.UNKNOWN
    assert f'locations/us-central1/repositories/{KEPT}"' in answer.reason and "denied" in answer.reason
    assert "arrstack infra check --member" in answer.reason


def test_without_a_login_nothing_is_called_absent(place: Place) -> None:
    place.environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(place.folder / "none.json")
    answer = place.registry.lookup(IMAGE, "full")
    assert answer.state is State.UNKNOWN
    assert "none.json" in answer.reason


def test_a_token_that_expires_between_two_questions_is_replaced(place: Place) -> None:
    place.push()
    registry = place.registry
    assert registry.lookup(IMAGE, "full").state is State.PRESENT
    place.artifacts.forget()
    assert registry.lookup(IMAGE, "full").state is State.PRESENT


def test_the_helper_of_gcloud_is_a_login_too(place: Place) -> None:
    """`gcloud auth configure-docker` writes this entry."""
    if not shutil.which("docker-credential-gcloud"):
        pytest.skip("gcloud is not installed")
    place.push()
    token = place.folder / "token"
    token.write_text(f"ya29.secret-token-{place.google.issued}")
    (place.folder / ".docker").mkdir()
    helper = {"credHelpers": {place.names.host: "gcloud"}}
    (place.folder / ".docker/config.json").write_text(json.dumps(helper))
    place.environment |= {"CLOUDSDK_CONFIG": str(place.folder / "gcloud"), "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token)}
    del place.environment["GOOGLE_APPLICATION_CREDENTIALS"]
    assert place.registry.lookup(IMAGE, "full").state is State.PRESENT


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy_or_broken_makes_nothing_absent(place: Place, status: int) -> None:
    place.google.faults.append(Fault("GET /v2/.*/manifests/", status=status, times=-1))
    answer = place.registry.lookup(IMAGE, "full")
    assert answer.state is State.UNKNOWN
    assert str(status) in answer.reason


def test_a_deleted_tag_takes_no_other_tag_of_the_image_along(place: Place) -> None:
    place.push()
    registry = place.registry
    image = registry.lookup(IMAGE, "full").image
    assert image
    registry.move_tag(IMAGE, "old", image)
    registry.delete_tag(IMAGE, "old")
    assert registry.tags(IMAGE) == ["full"]
    assert registry.lookup(IMAGE, "full").image == image


def test_no_token_is_seen_in_what_is_told(place: Place) -> None:
    place.artifacts.forbidden.add(f"{place.names.project}/{SWEPT}")
    place.push()
    told = f"{place.registry.lookup(IMAGE, 'full')} {place.registry.lookup('arr-trainer', 'latest')} {place.registry.name}"
    tokens = {token for token in place.google.shown | place.artifacts.given if token}
    assert tokens
    assert not [token for token in tokens if token in told]
