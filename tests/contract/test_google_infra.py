"""A project's side of Google Cloud: looked at and made by the official clients, against a server of the official messages."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from arrstack.gcp.api import Api
from arrstack.gcp.difference import Kind, Resource, Row, Verdict
from arrstack.gcp.infra import Infra
from arrstack.gcp.names import Names
from arrstack.gcp.wanted import wanted
from arrstack.recipes.config import load
from tests.conftest import ROOT
from tests.fakes.google.control import Control
from tests.fakes.google.server import Fault, GoogleServer

NAMES = Names("my-project", "us-central1", load(ROOT / "stack.toml").stack.cloud)
SERVICES = ("cloudbuild", "storage", "serviceusage", "artifactregistry", "cloudresourcemanager", "cloudquotas", "iam")
WANTED = wanted(NAMES, ["latest", "cpu"])


@dataclass
class Place:
    google: GoogleServer
    control: Control
    infra: Infra
    said: list[str] = field(default_factory=list)

    def check(self) -> dict[str, Row]:
        return {row.resource.name: row for row in self.infra.check(WANTED)}

    def apply(self) -> list[Row]:
        return list(self.infra.apply(WANTED))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    with GoogleServer() as google:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(google.login(tmp_path)))
        monkeypatch.setattr("time.sleep", lambda _: None)
        environment = {f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name.upper()}": google.address for name in SERVICES}
        environment["CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"] = f"{google.address}/storage/v1/"
        said: list[str] = []
        api = Api("my-project", environment, said.append, patience=3.0, first_wait=0.01)
        yield Place(google, Control(google), Infra(api, NAMES), said)


def verdicts(rows: list[Row]) -> set[Verdict]:
    return {row.verdict for row in rows}


def resource(kind: Kind) -> Resource:
    return next(each for each in WANTED if each.kind is kind)


def test_a_new_project_lacks_its_services_and_of_the_rest_nothing_can_be_told(place: Place) -> None:
    rows = place.check()
    assert rows["serviceusage.googleapis.com"].verdict is Verdict.OK
    assert rows["cloudbuild.googleapis.com"].verdict is Verdict.MISSING
    pool = rows[NAMES.pool]
    assert pool.verdict is Verdict.UNKNOWN and "gcloud services enable cloudbuild.googleapis.com" in pool.detail
    assert place.control.changes == []


def test_apply_makes_all_of_it_and_a_check_finds_it_in_order(place: Place) -> None:
    rows = place.apply()
    assert verdicts(rows) == {Verdict.OK, Verdict.WAITS}, [row for row in rows if row.verdict is not Verdict.OK]
    assert {row.resource.kind for row in rows if row.verdict is Verdict.WAITS} == {Kind.QUOTA}
    assert place.check()[NAMES.pool].verdict is Verdict.OK


def test_apply_again_changes_nothing(place: Place) -> None:
    place.apply()
    place.control.changes.clear()
    place.apply()
    assert place.control.changes == []


@pytest.mark.parametrize(
    "what", ["POST .*repositories", "POST /storage/v1/b", "POST .*workerPools", "POST .*serviceAccounts", "POST .*:setIamPolicy"]
)
def test_after_any_failure_the_rest_is_made_and_a_new_run_makes_what_is_left(place: Place, what: str) -> None:
    place.google.faults.append(Fault(what, status=400, message="broken"))
    first = place.apply()
    failed = [row for row in first if row.verdict is Verdict.MISSING]
    assert failed and "broken" in failed[0].detail
    assert verdicts(place.apply()) == {Verdict.OK, Verdict.WAITS}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_passes_is_tried_again_and_every_wait_is_told(place: Place, status: int) -> None:
    place.google.faults.append(Fault("GET .*/serviceAccounts/", status=status, times=2))
    place.control.services.add("iam.googleapis.com")
    assert place.infra.check([resource(Kind.ACCOUNT)])[0].verdict is Verdict.MISSING
    assert sum("trying again" in line for line in place.said) == 2


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in (Kind.SERVICE, Kind.BUILDER)])
def test_a_refusal_of_any_service_is_unknown_and_names_the_resource(place: Place, kind: Kind) -> None:
    place.apply()
    place.google.faults.append(Fault("", status=403, message="Permission denied on resource", times=9))
    row = place.infra.check([resource(kind)])[0]
    assert row.verdict is Verdict.UNKNOWN and "Permission denied" in row.detail


def test_an_operation_that_takes_long_is_waited_for(place: Place) -> None:
    place.control.pending = 2
    assert place.infra.check([*place_services(place)])
    rows = list(place.infra.apply([resource(Kind.REPOSITORY)]))
    assert rows[0].verdict is Verdict.OK
    assert any("make the repository" in line and "waiting" in line for line in place.said)


def place_services(place: Place) -> list[Resource]:
    place.control.services |= {f"{name}.googleapis.com" for name in SERVICES}
    return [each for each in WANTED if each.kind is Kind.SERVICE]


def test_a_repository_gets_its_own_clean_up_policies_and_no_dry_run(place: Place) -> None:
    place.apply()
    swept = place.control.repositories[f"{NAMES.location}/repositories/arr-coc-registry"]
    kept = place.control.repositories[f"{NAMES.location}/repositories/arr-coc-registry-persistent"]
    assert set(swept.cleanup_policies) == {"keep-proved", "keep-newest", "delete-daily"}
    assert set(kept.cleanup_policies) == {"keep-tagged", "delete-untagged"}
    assert not swept.cleanup_policy_dry_run
    assert swept.cleanup_policies["delete-daily"].condition.older_than.total_seconds() == 86400


def test_changed_clean_up_policies_are_set_again(place: Place) -> None:
    place.apply()
    kept = place.control.repositories[f"{NAMES.location}/repositories/arr-coc-registry-persistent"]
    kept.cleanup_policy_dry_run = True
    row = place.check()["arr-coc-registry-persistent"]
    assert row.verdict is Verdict.DIFFERENT and row.detail == "dry run True, wanted False"
    place.apply()
    assert not kept.cleanup_policy_dry_run and place.control.changes[-1] == "change arr-coc-registry-persistent"


def test_a_bucket_that_lost_its_rule_gets_it_back(place: Place) -> None:
    place.apply()
    place.control.buckets[NAMES.staging_bucket]["lifecycle"] = {}
    assert place.check()[NAMES.staging_bucket].verdict is Verdict.DIFFERENT
    place.apply()
    rules = place.control.buckets[NAMES.staging_bucket]["lifecycle"]["rule"]
    assert rules[0]["condition"] == {"age": 7, "matchesPrefix": ["sources/", "leases/"]}


def test_gclouds_own_bucket_is_made_where_it_is_missing_and_else_left_as_it_is(place: Place) -> None:
    place.apply()
    made = place.control.buckets.pop("my-project_cloudbuild")
    assert made["location"] == "US-CENTRAL1" and made["lifecycle"]["rule"][0]["condition"] == {
        "age": 7,
        "matchesPrefix": ["source/"],
    }
    others = {"name": "my-project_cloudbuild", "location": "US"}
    place.control.buckets["my-project_cloudbuild"] = dict(others)
    assert place.check()["my-project_cloudbuild"].verdict is Verdict.OK
    place.apply()
    assert place.control.buckets["my-project_cloudbuild"] == others


def test_a_pool_of_another_machine_is_changed(place: Place) -> None:
    place.apply()
    worker = place.control.pools[NAMES.pool].private_pool_v1_config.worker_config
    assert (worker.machine_type, worker.disk_size_gb) == ("c3-standard-176", 500)
    worker.machine_type = "e2-standard-4"
    place.apply()
    assert place.control.pools[NAMES.pool].private_pool_v1_config.worker_config.machine_type == "c3-standard-176"


def test_a_disabled_account_is_enabled(place: Place) -> None:
    place.apply()
    place.control.accounts[NAMES.account]["disabled"] = True
    assert place.check()[NAMES.account].detail == "state disabled, wanted enabled"
    place.apply()
    assert "disabled" not in place.control.accounts[NAMES.account]


def test_a_role_is_added_to_what_others_have(place: Place) -> None:
    place.apply()
    bucket = f"b/{NAMES.logs_bucket}"
    others = [
        {"role": "roles/storage.admin", "members": ["user:you@example.com"]},
        {
            "role": "roles/storage.admin",
            "members": [f"serviceAccount:{NAMES.account}"],
            "condition": {"title": "t", "expression": "false"},
        },
    ]
    place.control.policies[bucket] = {"bindings": others, "etag": "MA==", "version": 3}
    place.apply()
    bindings = place.control.policies[bucket]["bindings"]
    assert sorted(bindings[0]["members"]) == [f"serviceAccount:{NAMES.account}", "user:you@example.com"]
    assert bindings[1]["condition"] == {"title": "t", "expression": "false"}


def test_a_change_of_somebody_elses_policy_in_between_is_not_lost(place: Place) -> None:
    place.apply()
    name = f"{NAMES.location}/repositories/arr-coc-registry"
    place.control.policies[name] = {"bindings": [], "etag": "MA=="}
    place.google.faults.append(
        Fault("POST .*arr-coc-registry:setIamPolicy", status=409, message="There were concurrent policy changes")
    )
    rows = {row.resource.name: row for row in place.apply()}
    role = next(row for key, row in rows.items() if "on repository arr-coc-registry for" in key)
    assert role.verdict is Verdict.OK


def test_a_quota_that_is_granted_is_not_asked_for(place: Place) -> None:
    place.control.granted = 176
    assert {row.verdict for row in place.apply()} == {Verdict.OK}
    assert place.control.wishes == {}


def test_a_quota_that_was_asked_for_too_small_is_asked_for_again(place: Place) -> None:
    place.apply()
    (wish,) = place.control.wishes.values()
    assert (wish.quota_config.preferred_value, dict(wish.dimensions)) == (176, {"region": "us-central1"})
    wish.quota_config.preferred_value = 8
    place.apply()
    assert wish.quota_config.preferred_value == 176 and len(place.control.wishes) == 1


def test_a_quota_that_google_does_not_say_yet_is_unknown_and_nothing_is_asked_for(place: Place) -> None:
    place.control.granted = None
    rows = {row.resource.kind: row for row in place.apply()}
    assert rows[Kind.QUOTA].verdict is Verdict.UNKNOWN and "after the first build" in rows[Kind.QUOTA].detail
    assert place.control.wishes == {}


def test_the_servers_own_etags_refuse_a_write_over_another(place: Place) -> None:
    place.control.write_policy("x", {"bindings": [], "etag": "MA=="})
    with pytest.raises(Exception, match="concurrent policy changes"):
        place.control.write_policy("x", {"bindings": [], "etag": "MA=="})
