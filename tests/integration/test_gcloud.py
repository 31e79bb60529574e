"""The real gcloud, word for word as the recipes name it, against the same servers. Skipped where it is not installed: it is in no package
index that tests may ask."""

import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud.devtools.cloudbuild_v1.types import Build
from google.protobuf import json_format

from arrstack.cli.cloud import ordered, packed
from arrstack.cli.session import Options, Session
from tests.conftest import ROOT
from tests.fakes.google.cloud import GoogleCloud, google_cloud
from tests.fakes.google.server import Fault

pytestmark = pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is not installed")
TIER = "arr-pytorch-base"
COMMAND = f"gcloud builds submit --config Stack/{TIER}/cloudbuild.yaml --substitutions=_MAX_JOBS=176"
SCRIPT = 'echo "$1 $2, $MAX_JOBS jobs, profile $ARRSTACK_PROFILE"\n'


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[GoogleCloud]:
    with google_cloud(tmp_path) as made:
        made.builds.prepare = lambda worker: (worker / "Stack/cloud-build/part.sh").write_text(SCRIPT) and None
        yield made


def gcloud(
    cloud: GoogleCloud, home: Path, command: str, folder: Path = ROOT, project: str = "my-project"
) -> "subprocess.CompletedProcess[str]":
    (home / "token").write_text("a-token")
    settings = {
        "CONFIG": home / "config",
        "CORE_PROJECT": project,
        "CORE_DISABLE_PROMPTS": 1,
        "BUILDS_REGION": "us-central1",
    }
    environment = {f"CLOUDSDK_{name}": str(value) for name, value in settings.items()}
    environment |= {name: value for name, value in cloud.environment.items() if name.startswith("CLOUDSDK_")}
    environment |= {"CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(home / "token"), "PATH": os.environ["PATH"], "HOME": str(home)}
    return subprocess.run(command.split(), cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False)


def test_the_command_of_the_recipe_builds_every_part_on_the_files_of_a_launch(cloud: GoogleCloud, tmp_path: Path) -> None:
    done = gcloud(cloud, tmp_path, f"{COMMAND} --async .")
    assert done.returncode == 0, done.stderr
    cloud.builds.wait()
    ((name, build),) = cloud.builds.builds.items()
    log = cloud.builds.workers[name].log.getvalue().decode()
    assert build.status == Build.Status.SUCCESS, log
    for part in ("torch", "vision", "audio", "image", "tag"):
        assert f'"{part}": {TIER} {part}, 176 jobs, profile full\n' in log

    told = json.loads(gcloud(cloud, tmp_path, "gcloud builds list --region=us-central1 --format=json").stdout)
    assert [(each["status"], each["tags"]) for each in told] == [("SUCCESS", ["arrstack", TIER])]

    session = Session(
        Options(stack=ROOT / "stack.toml", profile="full", engine="cloudbuild", project="my-project"),
        {"XDG_CACHE_HOME": str(tmp_path)},
    )
    assert files_of(cloud, build) == names(session)
    assert build.source.storage_source.bucket == session.google.gcloud_bucket
    by_id = {step.id: step for step in build.steps}
    for step in ("torch", "vision", "audio", "image"):
        wanted = {"_MAX_JOBS": "176", "_PROFILE": "full", "_REGION": "us-central1", "_REGISTRY": "google", "_TAG": ""}
        order = ordered(session, TIER if step == "image" else f"{TIER}/{step}", wanted, "")
        ours = Build(json_format.ParseDict(order, Build.pb(Build())))
        for mine in ours.steps:
            theirs = by_id[mine.id]
            assert (mine.name, mine.entrypoint, mine.args) == (theirs.name, theirs.entrypoint, theirs.args)
        assert (ours.options, ours.substitutions, ours.service_account) == (
            build.options,
            build.substitutions,
            build.service_account,
        )


def files_of(cloud: GoogleCloud, build: Build) -> set[str]:
    source = build.source.storage_source
    data = cloud.storage.get(source.bucket, source.object_)
    assert data is not None
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name.removeprefix("./") for member in tar if not member.isdir()}


def names(session: Session) -> set[str]:
    with tarfile.open(packed(session).path) as tar:
        return {member.name for member in tar}


def test_a_refusal_ends_gcloud_with_the_servers_words_after_one_request(cloud: GoogleCloud, tmp_path: Path) -> None:
    cloud.google.faults.append(Fault("POST .*/builds", status=429, message="no more builds for you", times=-1))
    done = gcloud(cloud, tmp_path, f"{COMMAND} --async .")
    assert done.returncode
    assert "no more builds for you" in done.stderr
    assert sum("POST /v1/projects" in line for line in cloud.google.seen) == 1
