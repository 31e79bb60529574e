"""The committed cloudbuild.yaml of each tier, and what is refused in one."""

import json
import subprocess
from pathlib import Path

import pytest
from google.cloud.devtools.cloudbuild_v1 import Build
from google.protobuf import json_format

from arrstack.errors import ConfigError
from arrstack.gcp.build_file import BuildFile, read
from arrstack.recipes.config import load
from tests.conftest import ROOT

TIERS = [tier.name for tier in load(ROOT / "stack.toml").tiers]
GCLOUD_PYTHON = Path("/usr/lib/google-cloud-sdk/platform/bundledpythonunix/bin/python3")
GCLOUD_PARSER = """
import sys
sys.path[:0] = ["/usr/lib/google-cloud-sdk/lib", "/usr/lib/google-cloud-sdk/lib/third_party"]
from googlecloudsdk.api_lib.cloudbuild import cloudbuild_util, config
messages = cloudbuild_util.GetMessagesModule()
build = config.LoadCloudbuildConfigFromPath(sys.argv[1], messages, params={"_MAX_JOBS": "176"})
from apitools.base.py import encoding
print(encoding.MessageToJson(build))
"""
POOL = "projects/p/locations/us-central1/workerPools/w"
GOOD = """steps:
  - {id: worker, name: debian, args: [a, "${_A}"]}
  - {id: image, name: worker}
substitutions: {_A: ""}
timeout: 60s
"""


def committed(tier: str) -> BuildFile:
    return read(ROOT / "Stack" / tier / "cloudbuild.yaml")


def message(build: dict[str, object]) -> Build:
    return Build(json_format.ParseDict(build, Build.pb(Build())))


@pytest.fixture(params=TIERS)
def file(request: pytest.FixtureRequest) -> BuildFile:
    return committed(request.param)


def test_every_tier_has_a_file_that_is_a_build(file: BuildFile) -> None:
    build = message(file.filled({}))
    assert next(step.id for step in build.steps) == "worker" and next(iter(build.tags)) == "arrstack"


def test_the_files_steps_are_the_tiers_wheels_then_its_image_then_the_tag() -> None:
    for tier in load(ROOT / "stack.toml").tiers:
        assert committed(tier.name).parts == (*(wheel.name for wheel in tier.wheels), "image", "tag")


def test_every_step_runs_the_part_of_the_tier_that_its_id_names(file: BuildFile) -> None:
    tier = file.path.parent.name
    steps = [step for step in file.build["steps"] if step["id"] != "worker"]
    assert [step["args"] for step in steps] == [["Stack/cloud-build/part.sh", tier, step["id"]] for step in steps]
    assert {step["name"] for step in steps} == {"arrstack-worker"}
    assert (ROOT / "Stack/cloud-build/part.sh").is_file()


def test_no_file_names_a_pool_so_that_gcloud_needs_no_region(file: BuildFile) -> None:
    assert "pool" not in file.build["options"]


def test_a_build_by_an_account_of_its_own_has_a_log_bucket_of_its_own(file: BuildFile) -> None:
    assert file.build["serviceAccount"] and file.build["logsBucket"].startswith("gs://${PROJECT_ID}")


def test_the_compile_on_four_cores_has_a_whole_day() -> None:
    assert committed("arr-pytorch-base").build["timeout"] == "86400s"


def test_the_examples_files_build_the_examples_tiers_as_the_real_ones_are_built() -> None:
    example, real = load(ROOT / "examples/small/stack.toml"), committed("arr-ml-stack").build
    for tier in example.tiers:
        file = read(example.root / tier.recipe / "cloudbuild.yaml")
        assert file.parts == (*(wheel.name for wheel in tier.wheels), "image", "tag")
        for step in file.build["steps"][1:]:
            assert step["args"] == ["Stack/cloud-build/part.sh", tier.name, step["id"]]
        assert file.build["steps"][0] == real["steps"][0]
        assert file.build["options"]["env"][0] == "ARRSTACK_STACK=examples/small/stack.toml"
        assert file.build["substitutions"]["_PROFILE"] == example.stack.default_profile
        assert (file.build["serviceAccount"], file.build["logsBucket"]) == (real["serviceAccount"], real["logsBucket"])
        assert file.build["tags"] == ["arrstack", tier.name]


def test_every_variable_of_the_environment_is_an_option_of_the_command_line(file: BuildFile) -> None:
    help_text = (ROOT / "src/arrstack/cli/main.py").read_text()
    names = [line.partition("=")[0] for line in file.build["options"]["env"]]
    assert all(f'envvar="{name}"' in help_text for name in names if name.startswith("ARRSTACK_"))


def test_a_filled_build_has_the_given_substitutions_and_the_files_own() -> None:
    build = committed("arr-pytorch-base").filled({"_MAX_JOBS": "176"})
    assert build["substitutions"]["_MAX_JOBS"] == "176" and build["substitutions"]["_PROFILE"] == "full"


def test_a_filled_build_of_one_part_has_the_worker_and_that_step() -> None:
    build = committed("arr-pytorch-base").filled({}, parts=["torch"])
    assert [step["id"] for step in build["steps"]] == ["worker", "torch"]


def test_on_a_pool_machine_and_disk_are_the_pools() -> None:
    options = message(committed("arr-pytorch-base").filled({}, pool=POOL)).options
    assert (options.pool.name, options.disk_size_gb, options.machine_type) == (POOL, 0, 0)


def test_filling_in_leaves_the_file_as_it_was() -> None:
    file = committed("arr-pytorch-base")
    before = json.dumps(file.build)
    file.filled({"_MAX_JOBS": "9"}, ["torch"], POOL, ["key-1"])
    assert json.dumps(file.build) == before


@pytest.mark.parametrize(
    ("substitutions", "parts", "told"), [({"_NO": "1"}, [], "substitution '_NO'"), ({}, ["no"], "part 'no'")]
)
def test_what_the_file_has_not_is_refused(substitutions: dict[str, str], parts: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        committed("arr-trainer").filled(substitutions, parts)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("timeout: 60s", "timeout: 60s\ntimeout: 70s"), "'timeout' stands twice"),
        (("timeout: 60s", "timeout: 10h"), "timeout"),
        (("timeout: 60s", "timeout: 60"), "timeout"),
        (("timeout: 60s", "status: SUCCESS"), "'status' is the service's to say"),
        (("timeout: 60s", "id: mine"), "'id' is the service's to say"),
        (("timeout: 60s", "source: {}"), "gcloud takes no 'source'"),
        (("timeout: 60s", "nonsense: 1"), "nonsense"),
        (("timeout: 60s", "options: {machineType: C3}"), "machineType|machine_type"),
        (("timeout: 60s", "options: {pool: {workerConfig: {}}}"), "workerConfig"),
        (("timeout: 60s", "options: {pubsubTopic: t}"), "pubsubTopic"),
        (("[a, ", "[1, "), "args|string"),
        (('args: [a, "${_A}"]', "args: 'a ${_A}'"), "args|repeated"),
        (('_A: ""', "_A: 4"), "substitutions|string"),
        (('_A: ""', '_A: "", A: ""'), "begins with _"),
        (('_A: ""', '_A: "", _B: ""'), "_B is used nowhere"),
        (("${_A}", "${_A}${_C}"), "{_C} has no default"),
        (("id: image, ", ""), "a step has no id"),
        ((GOOD, "timeout: 60s"), "no steps"),
        ((GOOD, "- a"), "no table"),
        ((GOOD, "a: [1"), "expected"),
    ],
)
def test_a_file_that_gcloud_or_the_service_would_refuse_is_refused(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    path = tmp_path / "cloudbuild.yaml"
    path.write_text(GOOD.replace(*change))
    with pytest.raises(ConfigError, match=told):
        read(path)


def test_a_file_that_is_good_is_read(tmp_path: Path) -> None:
    (tmp_path / "cloudbuild.yaml").write_text(GOOD)
    assert read(tmp_path / "cloudbuild.yaml").parts == ("image",)


def test_the_shells_own_dollar_is_no_substitution(tmp_path: Path) -> None:
    (tmp_path / "cloudbuild.yaml").write_text(GOOD.replace("name: worker", "name: worker, args: ['$$_HOME $PROJECT_ID']"))
    read(tmp_path / "cloudbuild.yaml")


@pytest.mark.skipif(not GCLOUD_PYTHON.exists(), reason="gcloud is not installed here")
def test_gclouds_own_parser_reads_the_same_build(file: BuildFile) -> None:
    argv = [str(GCLOUD_PYTHON), "-c", GCLOUD_PARSER, str(file.path)]
    parsed = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert not parsed.returncode, parsed.stderr[-2000:]
    theirs = json.loads(parsed.stdout)
    theirs["substitutions"].pop("_MAX_JOBS")
    ours = json_format.MessageToDict(Build.pb(message(file.filled({}))), preserving_proto_field_name=False)
    ours["substitutions"].pop("_MAX_JOBS")
    assert theirs == ours
