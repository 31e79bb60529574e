"""What is wanted of a project against what was found, as data."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

import pytest

from arrstack.gcp.difference import Found, Kind, Resource, Verdict, difference, differences
from arrstack.gcp.names import Names
from arrstack.gcp.wanted import build_grants, cores_of, launch_grants, policies, wanted
from arrstack.recipes.config import load
from arrstack.recipes.places import Cloud
from tests.conftest import ROOT

NAMES = Names("my-project", "us-central1", load(ROOT / "stack.toml").stack.cloud)
WANTED = wanted(NAMES, ["latest", "cpu"], "user:me@example.com")
QUOTA = next(each for each in WANTED if each.kind is Kind.QUOTA)
BUCKET = next(each for each in WANTED if each.kind is Kind.BUCKET)


@pytest.mark.parametrize("resource", WANTED, ids=lambda each: each.name)
def test_every_resource_has_a_reason_and_a_command_that_a_shell_can_read(resource: Resource) -> None:
    assert resource.reason and resource.command.startswith("gcloud ")
    assert shlex.split(resource.command.replace("<(", "").replace("')", "'"))


def test_what_needs_another_comes_after_it() -> None:
    assert [each.kind for each in WANTED] == sorted((each.kind for each in WANTED), key=list(Kind).index)


def test_no_two_resources_have_one_name() -> None:
    assert len({(each.kind, each.name) for each in WANTED}) == len(WANTED)


def test_what_is_found_as_wanted_is_in_order() -> None:
    assert difference(BUCKET, Found(BUCKET.wants)).verdict is Verdict.OK


def test_what_is_in_order_says_what_its_name_does_not() -> None:
    pool, role = (next(each for each in WANTED if each.kind is kind) for kind in (Kind.POOL, Kind.ROLE))
    assert difference(pool, Found(pool.wants)).detail == "machine c3-standard-176, disk GiB 500"
    assert difference(role, Found(role.wants)).detail == ""


def test_what_is_not_there_is_missing() -> None:
    assert difference(BUCKET, Found(None)).verdict is Verdict.MISSING


def test_what_cannot_be_told_is_neither_there_nor_missing() -> None:
    row = difference(BUCKET, Found(unknown="403"))
    assert (row.verdict, row.detail, row.todo) == (Verdict.UNKNOWN, "403", False)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"location": "EU"}, "location EU, wanted US-CENTRAL1"),
        ({"uniform access": False}, "uniform access False, wanted True"),
        ({"lifecycle": []}, "lifecycle none, wanted [{"),
        ({"retention": "60 s"}, "retention 60 s, wanted none"),
    ],
)
def test_each_field_that_differs_is_named_with_both_values(change: Mapping[str, Any], told: str) -> None:
    row = difference(BUCKET, Found({**BUCKET.wants, **change}))
    assert row.verdict is Verdict.DIFFERENT and row.detail.startswith(told)


def test_fields_that_nobody_asked_for_do_not_count() -> None:
    assert difference(BUCKET, Found({**BUCKET.wants, "colour": "red"})).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("has", "verdict", "told"),
    [
        ({"processors": 4}, Verdict.DIFFERENT, "4 granted, 176 wanted"),
        ({"processors": 4, "asked": 176}, Verdict.WAITS, "4 granted, 176 wanted, 176 asked for"),
        ({"processors": 4, "asked": 100}, Verdict.DIFFERENT, "4 granted, 176 wanted"),
        ({"processors": 176}, Verdict.OK, "176 granted, 176 wanted"),
        ({"processors": 2400}, Verdict.OK, "2400 granted, 176 wanted"),
    ],
)
def test_a_quota_may_be_larger_and_one_that_was_asked_for_is_waited_for(
    has: Mapping[str, int], verdict: Verdict, told: str
) -> None:
    row = difference(QUOTA, Found(has))
    assert (row.verdict, row.detail) == (verdict, told)


def test_each_resource_is_looked_for_once() -> None:
    asked: list[str] = []

    def look(resource: Resource) -> Found:
        asked.append(resource.name)
        return Found(None)

    assert len(differences(WANTED, look)) == len(asked) == len(WANTED)


def test_the_build_may_do_nothing_on_the_project_itself() -> None:
    assert all(grant.on != "project" for grant in build_grants(NAMES))
    assert not any(grant.role in ("roles/owner", "roles/editor") for grant in [*build_grants(NAMES), *launch_grants(NAMES)])


def test_the_build_reads_what_gcloud_uploads_by_hand_as_well_as_what_a_launch_does() -> None:
    read = {grant.on for grant in build_grants(NAMES) if grant.role == "roles/storage.objectViewer"}
    written = {grant.on for grant in launch_grants(NAMES) if grant.role == "roles/storage.objectAdmin"}
    assert read == written == {"bucket my-project-arrstack-staging", "bucket my-project_cloudbuild"}


def test_sccaches_bucket_and_the_right_to_it_are_wanted_only_where_a_profile_compiles_through_it() -> None:
    def named(sccache: bool) -> list[str]:
        return [
            each.name for each in wanted(NAMES, ["latest"], "user:me@example.com", sccache) if "arrstack-sccache" in each.name
        ]

    assert named(False) == []
    bucket, *rights = named(True)
    assert bucket == "my-project-arrstack-sccache"
    members = (f"serviceAccount:{NAMES.account}", "user:me@example.com")
    assert rights == [f"roles/storage.objectAdmin on bucket {bucket} for {member}" for member in members]


def test_a_persons_roles_are_wanted_only_where_a_person_is_named() -> None:
    assert not any("user:" in each.name for each in wanted(NAMES, ["latest"]))
    assert sum("user:me@example.com" in each.name for each in WANTED) == len(launch_grants(NAMES))


def test_the_persistent_repository_deletes_nothing_that_has_a_tag() -> None:
    deletes = [policy for policy in policies(True, ["latest"]).values() if policy["action"] == "DELETE"]
    assert [policy["condition"]["tagState"] for policy in deletes] == ["UNTAGGED"]


def test_the_other_repository_is_swept_daily_but_for_what_is_proved_and_the_newest() -> None:
    found = policies(False, ["latest", "cpu"])
    assert found["delete-daily"]["condition"] == {"tagState": "ANY", "olderThan": "86400s"}
    assert found["keep-proved"]["condition"]["tagPrefixes"] == ["cpu", "latest"]
    assert found["keep-newest"]["mostRecentVersions"]["keepCount"] > 0


def test_the_policy_file_in_a_command_is_gclouds_own_form() -> None:
    command = next(each for each in WANTED if each.kind is Kind.REPOSITORY).command
    rules = json.loads(command.partition("<(echo '")[2].rpartition("')")[0])
    assert {rule["action"]["type"] for rule in rules} == {"KEEP", "DELETE"} and all(rule["name"] for rule in rules)


@pytest.mark.parametrize(("machine", "cores"), [("c3-standard-176", 176), ("e2-standard-32", 32), ("odd", 1)])
def test_a_machine_has_the_processors_that_its_name_ends_in(machine: str, cores: int) -> None:
    assert cores_of(machine) == cores


def test_another_machines_quota_is_another_metric() -> None:
    names = Names("my-project", "us-central1", Cloud(machine="e2-standard-32"))
    quota = next(each for each in wanted(names, []) if each.kind is Kind.QUOTA)
    assert quota.name.endswith("/concurrent_private_pool_build_cpus") and quota.wants["processors"] == 32
