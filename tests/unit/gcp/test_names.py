"""What is called what in Google Cloud, and which project is meant."""

from collections.abc import Callable
from pathlib import Path

import pytest

from arrstack.errors import ConfigError
from arrstack.gcp.names import Names, gcloud_project
from arrstack.recipes.config import load
from arrstack.recipes.places import Cloud
from tests.conftest import ROOT

CLOUD = load(ROOT / "stack.toml").stack.cloud
NAMES = Names("my-project", "us-central1", CLOUD)
Configure = Callable[[str, str], dict[str, str]]


@pytest.fixture
def configured(tmp_path: Path) -> Configure:
    """gcloud's folder with two configurations, one of them active."""

    def write(active: str, project: str) -> dict[str, str]:
        (tmp_path / "configurations").mkdir(exist_ok=True)
        (tmp_path / "active_config").write_text(active)
        (tmp_path / f"configurations/config_{active}").write_text(f"[core]\naccount = me\nproject = {project}\n")
        return {"CLOUDSDK_CONFIG": str(tmp_path)}

    return write


def test_the_tier_that_is_built_once_lies_in_the_persistent_repository() -> None:
    found = NAMES.image("arr-pytorch-base", "latest")
    assert found == "us-central1-docker.pkg.dev/my-project/arr-coc-registry-persistent/arr-pytorch-base:latest"


@pytest.mark.parametrize("tier", ["arr-pytorch-devel", "arr-ml-stack", "arr-trainer", "arr-vertex-launcher"])
def test_the_other_tiers_lie_in_the_repository_that_is_swept(tier: str) -> None:
    assert NAMES.image(tier, "key-1") == f"us-central1-docker.pkg.dev/my-project/arr-coc-registry/{tier}:key-1"


def test_the_compiler_cache_is_kept_with_what_it_helps_to_build() -> None:
    assert "/arr-coc-registry-persistent/" in NAMES.image("compiler-cache", "latest")


def test_account_buckets_and_pool_are_the_committed_files_own() -> None:
    text = (ROOT / "Stack/arr-pytorch-base/cloudbuild.yaml").read_text().replace("${PROJECT_ID}", "my-project")
    assert f"serviceAccounts/{NAMES.account}" in text and f"gs://{NAMES.logs_bucket}" in text
    assert NAMES.pool == "projects/my-project/locations/us-central1/workerPools/arr-coc-pool"


def test_a_project_of_a_domain_has_names_without_a_colon() -> None:
    names = Names("example.com:old-one", "us-central1", CLOUD)
    assert names.prefix("r") == "us-central1-docker.pkg.dev/example.com/old-one/r"
    assert names.account == "arrstack-build@old-one.example.com.iam.gserviceaccount.com"
    assert names.logs_bucket == "example-com-old-one-arrstack-logs"


def test_the_flags_project_comes_first_then_the_stack_files_then_the_environments_then_gclouds(configured: Configure) -> None:
    environment = {**configured("default", "from-gcloud"), "GOOGLE_CLOUD_PROJECT": "from-environment"}
    file = Cloud(project="from-file")
    assert Names.of(file, "from-flag", "", environment).project == "from-flag"
    assert Names.of(file, "", "", environment).project == "from-file"
    assert Names.of(Cloud(), "", "", environment).project == "from-environment"
    assert Names.of(Cloud(), "", "", configured("default", "from-gcloud")).project == "from-gcloud"


def test_gclouds_active_configuration_counts(configured: Configure) -> None:
    configured("other", "another-one")
    assert gcloud_project(configured("default", "the-active")) == "the-active"
    assert gcloud_project({**configured("default", "the-active"), "CLOUDSDK_ACTIVE_CONFIG_NAME": "other"}) == "another-one"
    assert gcloud_project({"CLOUDSDK_CORE_PROJECT": "told"}) == "told"


@pytest.mark.parametrize("text", ["no section", "[core\n", ""])
def test_a_broken_configuration_of_gclouds_names_no_project(tmp_path: Path, configured: Configure, text: str) -> None:
    environment = configured("default", "x")
    (tmp_path / "configurations/config_default").write_text(text)
    assert gcloud_project(environment) == ""


@pytest.mark.parametrize(("project", "region"), [("", ""), ("My Project", ""), ("123456", ""), ("my-project", "central")])
def test_what_is_no_project_or_region_is_refused_with_what_to_do(project: str, region: str) -> None:
    with pytest.raises(ConfigError) as error:
        Names.of(Cloud(), project, region, {})
    assert error.value.hint
