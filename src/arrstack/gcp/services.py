"""Each kind of thing that a project must have: how it is found and how it is made, by its service's official client.

`find` returns the fields that `wanted` names, None where the thing is not there; `make` makes it, or changes it to what is wanted.
Both raise RegistryError.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from arrstack.errors import RegistryError
from arrstack.gcp.api import TIMEOUT, Api, explained
from arrstack.gcp.difference import Resource
from arrstack.gcp.names import ACCOUNT

if TYPE_CHECKING:
    from google.api_core.operation import Operation

LONG = 600.0
"""Seconds that a long-running operation is waited for: a pool takes minutes."""
IAM = "https://iam.googleapis.com"
"""iam.googleapis.com has no client that speaks REST (google-cloud-iam 2.27)."""


@dataclass(frozen=True)
class Services:
    api: Api

    def find(self, resource: Resource) -> Mapping[str, Any] | None:
        from google.cloud.service_usage_v1 import GetServiceRequest, ServiceUsageClient, State

        client = self.api.client(ServiceUsageClient, "serviceusage")
        asked = GetServiceRequest(name=f"projects/{self.api.project}/services/{resource.name}")
        service = self.api.call(
            "ask whether a service is enabled", resource.name, lambda: client.get_service(asked, retry=None, timeout=TIMEOUT)
        )
        return {"state": "enabled"} if service.state == State.ENABLED else None

    def make(self, resource: Resource, _: bool) -> None:
        from google.cloud.service_usage_v1 import EnableServiceRequest, ServiceUsageClient

        client = self.api.client(ServiceUsageClient, "serviceusage")
        asked = EnableServiceRequest(name=f"projects/{self.api.project}/services/{resource.name}")
        finish(self.api, "enable a service", resource.name, lambda: client.enable_service(asked, retry=None, timeout=TIMEOUT))


@dataclass(frozen=True)
class Accounts:
    api: Api

    def _url(self, rest: str = "") -> str:
        return f"{self.api.endpoint('iam') or IAM}/v1/projects/{self.api.project}/serviceAccounts{rest}"

    def find(self, resource: Resource) -> Mapping[str, Any] | None:
        told = ask(self.api, "look for the service account", resource.name, "GET", self._url(f"/{resource.name}"))
        return None if told is None else {"state": "disabled" if told.get("disabled") else "enabled"}

    def make(self, resource: Resource, there: bool) -> None:
        if there:
            ask(self.api, "enable the service account", resource.name, "POST", self._url(f"/{resource.name}:enable"), {})
            return
        body = {"accountId": ACCOUNT, "serviceAccount": {"displayName": "arrstack: builds the images"}}
        ask(self.api, "make the service account", resource.name, "POST", self._url(), body)


@dataclass(frozen=True)
class Repositories:
    api: Api
    location: str

    def find(self, resource: Resource) -> Mapping[str, Any] | None:
        from google.api_core.exceptions import NotFound
        from google.cloud.artifactregistry_v1 import ArtifactRegistryClient, CleanupPolicy, GetRepositoryRequest, Repository
        from google.protobuf import json_format

        client = self.api.client(ArtifactRegistryClient, "artifactregistry")
        asked = GetRepositoryRequest(name=f"{self.location}/repositories/{resource.name}")

        def get() -> Repository | None:
            try:
                return client.get_repository(asked, retry=None, timeout=TIMEOUT)
            except NotFound:
                return None

        found = self.api.call("look for the repository", resource.name, get)
        if found is None:
            return None
        policies = {
            name: rule(json_format.MessageToDict(CleanupPolicy.pb(each))) for name, each in found.cleanup_policies.items()
        }
        return {"format": Repository.Format(found.format_).name, "clean-up": policies, "dry run": found.cleanup_policy_dry_run}

    def make(self, resource: Resource, there: bool) -> None:
        from google.cloud.artifactregistry_v1 import (
            ArtifactRegistryClient,
            CleanupPolicy,
            CreateRepositoryRequest,
            Repository,
            UpdateRepositoryRequest,
        )
        from google.protobuf import field_mask_pb2, json_format

        client = self.api.client(ArtifactRegistryClient, "artifactregistry")
        policies = {
            name: CleanupPolicy(json_format.ParseDict({**policy, "id": name}, CleanupPolicy.pb(CleanupPolicy())))
            for name, policy in resource.wants["clean-up"].items()
        }
        repository = Repository(
            name=f"{self.location}/repositories/{resource.name}",
            format_=Repository.Format.DOCKER,
            description=resource.reason,
            cleanup_policies=policies,
        )
        if there:
            mask = field_mask_pb2.FieldMask(paths=["cleanup_policies", "cleanup_policy_dry_run"])
            changed = UpdateRepositoryRequest(repository=repository, update_mask=mask)
            self.api.call(
                "set the clean-up policies", resource.name, lambda: client.update_repository(changed, retry=None, timeout=TIMEOUT)
            )
            return
        new = CreateRepositoryRequest(parent=self.location, repository_id=resource.name, repository=repository)
        finish(self.api, "make the repository", resource.name, lambda: client.create_repository(new, retry=None, timeout=TIMEOUT))


def rule(policy: dict[str, Any]) -> dict[str, Any]:
    """A clean-up policy without its id, which is its key."""
    return {name: value for name, value in policy.items() if name != "id"}


@dataclass(frozen=True)
class Buckets:
    api: Api

    def _client(self) -> Any:
        from google.cloud.storage import Client

        endpoint = self.api.endpoint("storage").removesuffix("/storage/v1")
        options = {"api_endpoint": endpoint} if endpoint else None
        return Client(self.api.project, self.api.credentials, _http=self.api.session, client_options=options)

    def find(self, resource: Resource) -> Mapping[str, Any] | None:
        from google.api_core.exceptions import NotFound

        def get() -> Any:
            try:
                return self._client().get_bucket(resource.name, timeout=TIMEOUT, retry=None)
            except NotFound:
                return None

        bucket = self.api.call("look for the bucket", f"bucket gs://{resource.name}", get)
        if bucket is None:
            return None
        return {
            "location": bucket.location,
            "lifecycle": [json.loads(json.dumps(each)) for each in bucket.lifecycle_rules],
            "uniform access": bucket.iam_configuration.uniform_bucket_level_access_enabled,
            "retention": f"{bucket.retention_period} s" if bucket.retention_period else "",
        }

    def make(self, resource: Resource, there: bool) -> None:
        wants = {**resource.makes, **resource.wants}

        def change() -> None:
            client = self._client()
            bucket = client.get_bucket(resource.name, timeout=TIMEOUT, retry=None) if there else client.bucket(resource.name)
            bucket.iam_configuration.uniform_bucket_level_access_enabled = wants["uniform access"]
            bucket.lifecycle_rules = wants["lifecycle"]
            if there:
                bucket.patch(timeout=TIMEOUT, retry=None)
            else:
                bucket.create(location=wants["location"], timeout=TIMEOUT, retry=None)

        self.api.call(f"{'change' if there else 'make'} the bucket", f"bucket gs://{resource.name}", change)


def finish(api: Api, what: str, resource: str, begin: Any) -> None:
    """Begins a long-running operation, and waits for its end. One that somebody else has begun or finished is no error: what there is then
    is looked at anew."""
    from google.api_core.exceptions import AlreadyExists, Conflict, GoogleAPIError

    def start() -> "Operation | None":
        try:
            return begin()  # type: ignore[no-any-return]
        except (AlreadyExists, Conflict):
            return None

    operation = api.call(what, resource, start)
    if operation is None:
        return
    api.show(f"{what}: {resource}: waiting, {LONG:.0f} s at most")
    try:
        operation.result(timeout=LONG)  # type: ignore[no-untyped-call]
    except TimeoutError:
        raise RegistryError(
            f"{what}: {resource}: not done within {LONG:.0f} s", "it goes on there: look again with `arrstack infra check`"
        ) from None
    except GoogleAPIError as error:
        raise explained(error, what, resource, api.project) from None


def ask(
    api: Api, what: str, resource: str, method: str, url: str, body: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """A service that has no client for REST; None where the thing is not there, and {} where it was there already."""
    from google.api_core.exceptions import Conflict, NotFound, from_http_response

    def send() -> dict[str, Any] | None:
        response = api.session.request(method, url, json=body, timeout=TIMEOUT)  # type: ignore[no-untyped-call]
        if response.status_code < 300:
            return dict(response.json() or {})
        error = from_http_response(response)  # type: ignore[no-untyped-call]
        if isinstance(error, NotFound) and method == "GET":
            return None
        if isinstance(error, Conflict) and method == "POST":
            return {}
        raise error

    return api.call(what, resource, send)
