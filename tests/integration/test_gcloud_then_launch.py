"""A build by hand and a launch have the same keys: what the real gcloud submitted, and the product's own steps built, a launch goes on from. Skipped where
gcloud is not installed."""

import shutil
from pathlib import Path

import pytest
from google.cloud.devtools.cloudbuild_v1.types import Build

from tests.integration.test_cloud_launch import Project, busybox, google_project  # noqa: F401 - fixtures
from tests.integration.test_gcloud import gcloud

pytestmark = pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is not installed")
COMMAND = "gcloud builds submit --async --config tiny-base/cloudbuild.yaml --substitutions=_PROFILE=tiny,_REGION=europe-west4 ."


def test_what_gcloud_had_built_a_launch_reuses_and_builds_the_rest(google_project: Project, tmp_path: Path) -> None:  # noqa: F811
    project = google_project
    done = gcloud(project.cloud, tmp_path, COMMAND, project.tree, project.environment["ARRSTACK_PROJECT"])
    assert done.returncode == 0, done.stderr
    project.cloud.builds.wait(200)
    (build,) = project.cloud.builds.builds.values()
    assert build.status == Build.Status.SUCCESS, project.log()
    assert project.actions() == ["reuse", "rebuild"]
    project.ok("launch")
    assert project.built()[1:] == ["tiny-app image"]
    assert project.ok("run", "tiny-app") == "the app\n"
