"""Pure: what a project must have for builds there, each with the reason and the command that makes it.

wanted(Names("my-project", "us-central1", stack.cloud), ["latest"])[0].command  # 'gcloud services enable ...'
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arrstack.gcp.difference import Kind, Resource
from arrstack.gcp.names import ACCOUNT, Names

SOURCE_DAYS, LOG_DAYS, OBJECT_DAYS = 7, 90, 60
"""Days after which the buckets delete sources and leases, logs, and sccache's objects."""
UNTAGGED_DAYS = 30
"""Days after which the persistent repository loses what has no tag."""
NEWEST = 3
"""Of each image, how many the swept repository keeps whatever their age."""
DAY = 86400
C3_QUOTA = "cloudbuild.googleapis.com/concurrent_private_pool_c3_build_cpus"
OTHER_QUOTA = "cloudbuild.googleapis.com/concurrent_private_pool_build_cpus"


def wanted(names: Names, tags: Sequence[str], member: str = "", sccache: bool = False) -> tuple[Resource, ...]:
    """All that a project needs, in the order in which it is made. `tags` are the profiles', which point to what is proved; `member` is
    who launches (`user:me@example.com`), whose roles are then wanted too; `sccache`: whether a profile compiles through it."""
    return (
        *services(names),
        account(names),
        *repositories(names, tags),
        *buckets(names, sccache),
        *roles(names, member, sccache),
        quota(names),
        pool(names),
    )


SERVICES = {
    "serviceusage.googleapis.com": "says which services are enabled",
    "cloudresourcemanager.googleapis.com": "says and sets who may do what in the project",
    "iam.googleapis.com": "keeps the build's service account",
    "cloudbuild.googleapis.com": "builds",
    "artifactregistry.googleapis.com": "keeps the images",
    "storage.googleapis.com": "keeps sources on their way, and logs",
    "cloudquotas.googleapis.com": "says how many processors a build may have",
}


def services(names: Names) -> list[Resource]:
    return [
        Resource(Kind.SERVICE, name, reason, f"gcloud services enable {name} --project={names.project}", {"state": "enabled"})
        for name, reason in SERVICES.items()
    ]


def account(names: Names) -> Resource:
    command = f"gcloud iam service-accounts create {ACCOUNT} --project={names.project}"
    reason = (
        "builds with the rights that a build needs, not with the Compute Engine default account's, which may edit the project"
    )
    return Resource(Kind.ACCOUNT, names.account, reason, command, {"state": "enabled"})


def policies(persistent: bool, tags: Sequence[str]) -> dict[str, Any]:
    """A repository's clean-up policies, by their ids, in the JSON of google.devtools.artifactregistry.v1.CleanupPolicy. KEEP wins over DELETE.

    Persistent: a key is a tag, and what a child stands on is under its key, so nothing with a tag goes. Swept: what is older than a day
    goes, but for what a profile's tag points to and the newest of each image."""
    if persistent:
        return {
            "keep-tagged": {"action": "KEEP", "condition": {"tagState": "TAGGED"}},
            "delete-untagged": {
                "action": "DELETE",
                "condition": {"tagState": "UNTAGGED", "olderThan": f"{UNTAGGED_DAYS * DAY}s"},
            },
        }
    return {
        "keep-proved": {"action": "KEEP", "condition": {"tagState": "TAGGED", "tagPrefixes": sorted(set(tags))}},
        "keep-newest": {"action": "KEEP", "mostRecentVersions": {"keepCount": NEWEST}},
        "delete-daily": {"action": "DELETE", "condition": {"tagState": "ANY", "olderThan": f"{DAY}s"}},
    }


def repositories(names: Names, tags: Sequence[str]) -> list[Resource]:
    cloud = names.cloud
    reasons = {
        cloud.persistent_repository: "keeps what is built once, as long as a tag, a key or a child needs it",
        cloud.repository: "keeps what is quickly built again; swept daily",
    }
    found = []
    for name, reason in reasons.items():
        clean_up = policies(name == cloud.persistent_repository, tags)
        at = f"--location={names.region} --project={names.project}"
        file = json.dumps([{"name": each, **rule_file(policy)} for each, policy in clean_up.items()])
        command = (
            f"gcloud artifacts repositories create {name} --repository-format=docker {at}; "
            f"gcloud artifacts repositories set-cleanup-policies {name} {at} --no-dry-run --policy=<(echo '{file}')"
        )
        found.append(
            Resource(Kind.REPOSITORY, name, reason, command, {"format": "DOCKER", "clean-up": clean_up, "dry run": False})
        )
    return found


def rule_file(policy: Mapping[str, Any]) -> dict[str, Any]:
    """A policy as gcloud's own policy file has it."""
    return {**policy, "action": {"type": policy["action"]}}


def buckets(names: Names, sccache: bool = False) -> list[Resource]:
    """The product's own, and gcloud's. That one may be there, others' too, as they made it: nothing of it is changed."""
    of_sources, of_logs = fields(names, SOURCE_DAYS, ["sources/", "leases/"]), fields(names, LOG_DAYS)
    by_gcloud = fields(names, SOURCE_DAYS, ["source/"])
    own = {
        names.staging_bucket: ("takes the sources to a build, and says who launches what", of_sources),
        names.logs_bucket: (
            "holds the builds' logs, which an account of its own makes compulsory; a retention policy would keep them from being written",
            of_logs,
        ),
    }
    if sccache:
        own[names.cache_bucket] = ("holds what sccache compiled, for every machine", fields(names, OBJECT_DAYS))
    return [
        *(Resource(Kind.BUCKET, name, why, bucket_command(names, name, wants), wants) for name, (why, wants) in own.items()),
        Resource(
            Kind.BUCKET,
            names.gcloud_bucket,
            "takes the sources of builds by `gcloud builds submit`, which the build's account must be let in to read",
            bucket_command(names, names.gcloud_bucket, by_gcloud),
            makes=by_gcloud,
        ),
    ]


def fields(names: Names, days: int, prefixes: Sequence[str] = ()) -> dict[str, Any]:
    """A bucket's, which deletes what is older than that."""
    condition = {"age": days, **({"matchesPrefix": list(prefixes)} if prefixes else {})}
    rules = [{"action": {"type": "Delete"}, "condition": condition}]
    return {"location": names.region.upper(), "lifecycle": rules, "uniform access": True, "retention": ""}


def bucket_command(names: Names, name: str, wants: Mapping[str, Any]) -> str:
    at = f"--location={names.region} --project={names.project} --uniform-bucket-level-access"
    # A file: gcloud storage reads no pipe.
    rule = f"gcloud storage buckets update gs://{name} --lifecycle-file=$rules"
    file = f"rules=$(mktemp); echo '{json.dumps({'rule': wants['lifecycle']})}' >$rules"
    return f"gcloud storage buckets create gs://{name} {at}; {file}; {rule}"


@dataclass(frozen=True)
class Grant:
    """A role for a member on one thing: `on` is `project`, `repository NAME`, `bucket NAME` or `service account NAME`."""

    role: str
    on: str
    reason: str


def build_grants(names: Names, sccache: bool = False) -> list[Grant]:
    """What the build's account may do, and nothing on the project itself."""
    cloud = names.cloud
    push = "pushes images, wheels and the compiler cache, and reads what it stands on"
    return [
        Grant("roles/artifactregistry.writer", f"repository {cloud.persistent_repository}", push),
        Grant("roles/artifactregistry.writer", f"repository {cloud.repository}", push),
        Grant("roles/storage.objectViewer", f"bucket {names.staging_bucket}", "reads the uploaded sources"),
        Grant("roles/storage.objectViewer", f"bucket {names.gcloud_bucket}", "reads the sources that gcloud uploaded"),
        Grant(
            "roles/storage.admin",
            f"bucket {names.logs_bucket}",
            "writes the build's log; Cloud Build asks for this role on the log bucket, which holds nothing else",
        ),
        *cache_grants(names, sccache),
    ]


def cache_grants(names: Names, sccache: bool) -> list[Grant]:
    return (
        [Grant("roles/storage.objectAdmin", f"bucket {names.cache_bucket}", "reads and writes sccache's objects")]
        if sccache
        else []
    )


def launch_grants(names: Names, sccache: bool = False) -> list[Grant]:
    """What a person who launches may do."""
    cloud = names.cloud
    return [
        Grant("roles/cloudbuild.builds.editor", "project", "starts, follows and cancels builds"),
        Grant("roles/cloudbuild.workerPoolUser", "project", "has them run in the private pool"),
        Grant(
            "roles/storage.bucketViewer",
            "project",
            "sees whether the staging bucket is the project's own: who guesses its name may have made it",
        ),
        Grant(
            "roles/serviceusage.serviceUsageConsumer",
            "project",
            "uses the project's services: else `forbidden from accessing the bucket`",
        ),
        Grant("roles/iam.serviceAccountUser", f"service account {names.account}", "has builds run as that account"),
        Grant("roles/storage.objectAdmin", f"bucket {names.staging_bucket}", "uploads sources, takes and gives back leases"),
        Grant("roles/storage.legacyBucketReader", f"bucket {names.staging_bucket}", "sees that the bucket is there"),
        Grant("roles/storage.objectAdmin", f"bucket {names.gcloud_bucket}", "uploads sources by `gcloud builds submit`"),
        Grant("roles/storage.objectViewer", f"bucket {names.logs_bucket}", "reads logs while a build runs"),
        Grant(
            "roles/artifactregistry.repoAdmin",
            f"repository {cloud.persistent_repository}",
            "reads images, moves and deletes tags",
        ),
        Grant("roles/artifactregistry.repoAdmin", f"repository {cloud.repository}", "reads images, moves and deletes tags"),
        *cache_grants(names, sccache),
    ]


def roles(names: Names, member: str, sccache: bool = False) -> list[Resource]:
    given = [(grant, f"serviceAccount:{names.account}") for grant in build_grants(names, sccache)]
    given += [(grant, member) for grant in launch_grants(names, sccache) if member]
    return [role(names, grant, who) for grant, who in given]


def role(names: Names, grant: Grant, member: str) -> Resource:
    kind, _, name = grant.on.rpartition(" ")
    flags = f"--member={member} --role={grant.role}"
    at = {
        "": f"gcloud projects add-iam-policy-binding {names.project} {flags} --condition=None",
        "repository": f"gcloud artifacts repositories add-iam-policy-binding {name} {flags} --location={names.region} --project={names.project}",
        "bucket": f"gcloud storage buckets add-iam-policy-binding gs://{name} {flags}",
        "service account": f"gcloud iam service-accounts add-iam-policy-binding {name} {flags} --project={names.project}",
    }
    return Resource(
        Kind.ROLE,
        f"{grant.role} on {grant.on} for {member}",
        grant.reason,
        at[kind],
        {"role": grant.role, "on": grant.on, "member": member},
    )


def quota(names: Names) -> Resource:
    """The processors of the pool's machine, all of which one build takes."""
    machine = names.cloud.machine
    metric, cores = (C3_QUOTA if machine.startswith("c3-") else OTHER_QUOTA), cores_of(machine)
    reason = f"a build on {machine} takes {cores} processors of the private pool at once; the quota's default is 4"
    at = f"--service=cloudbuild.googleapis.com --project={names.project}"
    named = f"$(gcloud alpha quotas info list {at} --filter=metric={metric} --format='value(quotaId)')"
    command = (
        f"gcloud alpha quotas preferences create {at} --quota-id={named} --preferred-value={cores} "
        f"--dimensions=region={names.region}"
    )
    return Resource(Kind.QUOTA, metric, reason, command, {"processors": cores, "region": names.region})


def cores_of(machine: str) -> int:
    """The processors that a machine type's name ends in: `c3-standard-176` has 176. 1 where it does not say."""
    found = re.search(r"-(\d+)$", machine)
    return int(found[1]) if found else 1


def pool(names: Names) -> Resource:
    cloud = names.cloud
    at = f"{cloud.pool} --region={names.region} --project={names.project}"
    flags = f"--worker-machine-type={cloud.machine} --worker-disk-size={cloud.disk_gib}"
    command = f"gcloud builds worker-pools create {at} {flags}  # or `update` where it is there"
    reason = "the machines that compile in minutes; nothing is paid while no build runs"
    return Resource(Kind.POOL, names.pool, reason, command, {"machine": cloud.machine, "disk GiB": cloud.disk_gib})
