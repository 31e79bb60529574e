"""What sets a project up: Service Usage, IAM, Resource Manager, Artifact Registry's repositories, buckets, quotas, worker pools.

    with GoogleServer() as google:
        control = Control(google)
        control.services  # {'serviceusage.googleapis.com'}: a new project

A service that is not enabled answers 403, as Google's do. Policies have etags: a write over another one is refused.
"""

import base64
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from google.cloud.artifactregistry_v1 import CreateRepositoryRequest, GetRepositoryRequest, Repository, UpdateRepositoryRequest
from google.cloud.artifactregistry_v1.services.artifact_registry.transports.rest_base import _BaseArtifactRegistryRestTransport
from google.cloud.cloudquotas_v1 import (
    CreateQuotaPreferenceRequest,
    DimensionsInfo,
    ListQuotaInfosRequest,
    ListQuotaInfosResponse,
    ListQuotaPreferencesRequest,
    ListQuotaPreferencesResponse,
    QuotaDetails,
    QuotaInfo,
    QuotaPreference,
    UpdateQuotaPreferenceRequest,
)
from google.cloud.cloudquotas_v1.services.cloud_quotas.transports.rest_base import _BaseCloudQuotasRestTransport
from google.cloud.devtools.cloudbuild_v1 import CreateWorkerPoolRequest, GetWorkerPoolRequest, UpdateWorkerPoolRequest, WorkerPool
from google.cloud.devtools.cloudbuild_v1.services.cloud_build.transports.rest_base import _BaseCloudBuildRestTransport
from google.cloud.resourcemanager_v3.services.projects.transports.rest_base import _BaseProjectsRestTransport
from google.cloud.service_usage_v1 import EnableServiceRequest, EnableServiceResponse, GetServiceRequest, Service, State
from google.cloud.service_usage_v1.services.service_usage.transports.rest_base import _BaseServiceUsageRestTransport
from google.iam.v1.iam_policy_pb2 import GetIamPolicyRequest, SetIamPolicyRequest
from google.iam.v1.policy_pb2 import Policy
from google.longrunning.operations_pb2 import Operation
from google.protobuf import json_format

from tests.fakes.google.server import ApiError, GoogleServer, Request, Response, problem

QUOTA_ID = "ConcurrentPrivatePoolC3BuildCpusPerProjectPerRegion"
METRIC = "cloudbuild.googleapis.com/concurrent_private_pool_c3_build_cpus"
BUCKET = r"/storage/v1/b/[^/]+"


@dataclass
class Control:
    """A project's side, as the services keep it: what the tests look at."""

    google: GoogleServer
    project: str = "my-project"
    services: set[str] = field(default_factory=lambda: {"serviceusage.googleapis.com"})
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    repositories: dict[str, Repository] = field(default_factory=dict)
    buckets: dict[str, dict[str, Any]] = field(default_factory=dict)
    pools: dict[str, WorkerPool] = field(default_factory=dict)
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By the resource's name, each in JSON with its etag."""
    granted: int | None = 4
    """Processors; None where Google says no such quota yet."""
    wishes: dict[str, QuotaPreference] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    """What was made or changed, in order."""
    pending: int = 0
    """How often a long-running operation is not done yet."""

    def __post_init__(self) -> None:
        self._etags, self._operations = itertools.count(1), itertools.count(1)
        self._answers: dict[str, tuple[int, Any]] = {}
        rpc, build = self._rpc, _BaseCloudBuildRestTransport
        usage, registry, quotas = (
            _BaseServiceUsageRestTransport,
            _BaseArtifactRegistryRestTransport,
            _BaseCloudQuotasRestTransport,
        )
        rpc(usage, "GetService", GetServiceRequest, self._service, "serviceusage")
        rpc(usage, "EnableService", EnableServiceRequest, self._enable, "serviceusage")
        rpc(
            registry,
            "GetRepository",
            GetRepositoryRequest,
            lambda asked: self._get(self.repositories, asked.name),
            "artifactregistry",
        )
        rpc(registry, "CreateRepository", CreateRepositoryRequest, self._new_repository, "artifactregistry")
        rpc(registry, "UpdateRepository", UpdateRepositoryRequest, self._change_repository, "artifactregistry")
        for transport, service in ((registry, "artifactregistry"), (_BaseProjectsRestTransport, "cloudresourcemanager")):
            rpc(transport, "GetIamPolicy", GetIamPolicyRequest, lambda asked: self._policy(asked.resource), service)
            rpc(transport, "SetIamPolicy", SetIamPolicyRequest, self._set_policy, service)
        rpc(quotas, "ListQuotaInfos", ListQuotaInfosRequest, self._quotas, "cloudquotas")
        rpc(quotas, "ListQuotaPreferences", ListQuotaPreferencesRequest, lambda _: self._listed(), "cloudquotas")
        rpc(quotas, "CreateQuotaPreference", CreateQuotaPreferenceRequest, self._wish, "cloudquotas")
        rpc(quotas, "UpdateQuotaPreference", UpdateQuotaPreferenceRequest, self._wish_more, "cloudquotas")
        rpc(build, "GetWorkerPool", GetWorkerPoolRequest, lambda asked: self._get(self.pools, asked.name), "cloudbuild")
        rpc(build, "CreateWorkerPool", CreateWorkerPoolRequest, self._new_pool, "cloudbuild")
        rpc(build, "UpdateWorkerPool", UpdateWorkerPoolRequest, self._change_pool, "cloudbuild")
        self.google.plain("GET", "/v1/.*operations/.*", self._operation)
        self.google.plain("*", r"/v1/projects/[^/]+/serviceAccounts.*", self._account)
        self.google.plain("*", rf"/storage/v1/b|{BUCKET}(/iam)?", self._bucket)
        self.google.plain("POST", r"/v1/projects/[^/:]+:[gs]etIamPolicy", self._project)

    def _rpc(self, transport: Any, name: str, kind: Any, answer: Callable[[Any], Any], service: str) -> None:
        def checked(request: Any) -> Any:
            self._need(service)
            return answer(request)

        self.google.rpc(transport, name, kind, checked)

    def _need(self, service: str) -> None:
        if f"{service}.googleapis.com" not in self.services:
            name = f"{service}.googleapis.com"
            raise ApiError(403, f"{name} has not been used in project {self.project} before or it is disabled.")

    def _get(self, things: dict[str, Any], name: str) -> Any:
        if name not in things:
            raise ApiError(404, f"Requested entity was not found: {name}")
        return things[name]

    def _done(self, what: str, response: Any) -> Operation:
        """A long-running operation's answer, which is not done for `pending` looks."""
        self.changes.append(what)
        name = f"projects/{self.project}/locations/us-central1/operations/{next(self._operations)}"
        if what.startswith("enable "):
            name = f"operations/{next(self._operations)}"
        self._answers[name] = (self.pending, response)
        return self._look(name)

    def _look(self, name: str) -> Operation:
        left, response = self._answers[name]
        self._answers[name] = (left - 1, response)
        operation = Operation(name=name, done=left <= 0)
        if left <= 0:
            operation.response.Pack(type(response).pb(response))
        return operation

    def _operation(self, request: Request) -> Response:
        return as_json(self._look(request.path.removeprefix("/v1/")))

    # -- services

    def _service(self, asked: GetServiceRequest) -> Service:
        enabled = asked.name.rpartition("/")[2] in self.services
        return Service(name=asked.name, state=State.ENABLED if enabled else State.DISABLED)

    def _enable(self, asked: EnableServiceRequest) -> Operation:
        name = asked.name.rpartition("/")[2]
        self.services.add(name)
        return self._done(f"enable {name}", EnableServiceResponse(service=Service(name=asked.name, state=State.ENABLED)))

    # -- repositories and pools

    def _new_repository(self, asked: CreateRepositoryRequest) -> Operation:
        name = f"{asked.parent}/repositories/{asked.repository_id}"
        if name in self.repositories:
            raise ApiError(409, "the repository already exists")
        self.repositories[name] = asked.repository
        self.repositories[name].name = name
        return self._done(f"repository {asked.repository_id}", self.repositories[name])

    def _change_repository(self, asked: UpdateRepositoryRequest) -> Repository:
        found = self._get(self.repositories, asked.repository.name)
        for path in asked.update_mask.paths:
            setattr(found, path, getattr(asked.repository, path))
        self.changes.append(f"change {asked.repository.name.rpartition('/')[2]}")
        return found  # type: ignore[no-any-return]

    def _new_pool(self, asked: CreateWorkerPoolRequest) -> Operation:
        name = f"{asked.parent}/workerPools/{asked.worker_pool_id}"
        self.pools[name] = asked.worker_pool
        self.pools[name].name = name
        return self._done("pool", self.pools[name])

    def _change_pool(self, asked: UpdateWorkerPoolRequest) -> Operation:
        self._get(self.pools, asked.worker_pool.name)
        self.pools[asked.worker_pool.name] = asked.worker_pool
        return self._done("change pool", asked.worker_pool)

    # -- policies

    def _policy(self, resource: str) -> Policy:
        told = self.policies.setdefault(resource, {"bindings": [], "etag": "MA=="})
        return json_format.ParseDict(told, Policy())

    def _set_policy(self, asked: SetIamPolicyRequest) -> Policy:
        self.write_policy(asked.resource, json_format.MessageToDict(asked.policy))
        return self._policy(asked.resource)

    def write_policy(self, resource: str, policy: dict[str, Any]) -> dict[str, Any]:
        """Raises ApiError where the etag is an older one's."""
        old = self.policies.setdefault(resource, {"bindings": [], "etag": "MA=="})
        if policy.get("etag") != old["etag"]:
            raise ApiError(
                409, "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff."
            )
        self.changes.append(f"policy of {resource.rpartition('/')[2]}")
        self.policies[resource] = {**policy, "etag": base64.b64encode(b"%d" % next(self._etags)).decode()}
        return self.policies[resource]

    def _project(self, request: Request) -> Response:
        """The project's policy by cloudresourcemanager.googleapis.com/v1, which gcloud asks."""
        name, _, verb = request.path.removeprefix("/v1/").partition(":")
        if verb == "setIamPolicy":
            return as_json(self.write_policy(name, json.loads(request.body)["policy"]))
        return as_json(self.policies.setdefault(name, {"bindings": [], "etag": "MA=="}))

    # -- service accounts: iam.googleapis.com/v1

    def _account(self, request: Request) -> Response:
        try:
            self._need("iam")
        except ApiError as error:
            return problem(error)
        name, _, verb = request.path.partition("/serviceAccounts")[2].lstrip("/").partition(":")
        body = json.loads(request.body or b"{}")
        if request.method == "POST" and not name:
            email = f"{body['accountId']}@{self.project}.iam.gserviceaccount.com"
            if email in self.accounts:
                return problem(ApiError(409, f"Service account {email} already exists."))
            self.changes.append("account")
            self.accounts[email] = {"email": email, **body["serviceAccount"]}
            return as_json(self.accounts[email])
        if name not in self.accounts:
            return problem(ApiError(404, f"Unknown service account: {name}"))
        if verb == "getIamPolicy":
            return as_json(self.policies.setdefault(name, {"bindings": [], "etag": "MA=="}))
        if verb == "setIamPolicy":
            return as_json(self.write_policy(name, body["policy"]))
        if verb == "enable":
            self.changes.append("enable account")
            self.accounts[name].pop("disabled", None)
        return as_json(self.accounts[name])

    # -- buckets: storage.googleapis.com/storage/v1 (what fake-gcs-server does not keep)

    def _bucket(self, request: Request) -> Response:
        try:
            self._need("storage")
        except ApiError as error:
            return problem(error)
        body = json.loads(request.body or b"{}")
        if request.path == "/storage/v1/b":
            if body["name"] in self.buckets:
                return problem(
                    ApiError(409, "Your previous request to create the named bucket succeeded and you already own it.")
                )
            self.changes.append(f"bucket {body['name']}")
            place = {"location": body.get("location", "US").upper()}  # as Google says it, however it was given
            self.buckets[body["name"]] = {"kind": "storage#bucket", "id": body["name"], "metageneration": "1", **body, **place}
            return as_json(self.buckets[body["name"]])
        name, _, iam = re.sub("^/storage/v1/b/", "", request.path).partition("/")
        if name not in self.buckets:
            return problem(ApiError(404, "The specified bucket does not exist."))
        if iam and request.method == "PUT":
            try:
                return as_json(self.write_policy(f"b/{name}", body))
            except ApiError as error:
                return problem(ApiError(412, error.message))
        if iam:
            return as_json(self.policies.setdefault(f"b/{name}", {"bindings": [], "etag": "MA=="}))
        if request.method == "PATCH":
            self.changes.append(f"change {name}")
            self.buckets[name].update(body)
        return as_json(self.buckets[name])

    # -- quotas

    def _quotas(self, asked: ListQuotaInfosRequest) -> ListQuotaInfosResponse:
        if self.granted is None:
            return ListQuotaInfosResponse()
        default = DimensionsInfo(details=QuotaDetails(value=4), applicable_locations=["europe-west4"])
        here = DimensionsInfo(
            dimensions={"region": "us-central1"}, details=QuotaDetails(value=self.granted), applicable_locations=["us-central1"]
        )
        info = QuotaInfo(
            name=f"{asked.parent}/quotaInfos/{QUOTA_ID}", quota_id=QUOTA_ID, metric=METRIC, dimensions_infos=[here, default]
        )
        other = QuotaInfo(name=f"{asked.parent}/quotaInfos/Other", quota_id="Other", metric="cloudbuild.googleapis.com/other")
        return ListQuotaInfosResponse(quota_infos=[other, info])

    def _listed(self) -> ListQuotaPreferencesResponse:
        return ListQuotaPreferencesResponse(quota_preferences=list(self.wishes.values()))

    def _wish(self, asked: CreateQuotaPreferenceRequest) -> QuotaPreference:
        wish = asked.quota_preference
        wish.name, wish.etag, wish.reconciling = f"{asked.parent}/quotaPreferences/{asked.quota_preference_id}", "1", True
        self.wishes[wish.name] = wish
        self.changes.append(f"quota {wish.quota_config.preferred_value}")
        return wish

    def _wish_more(self, asked: UpdateQuotaPreferenceRequest) -> QuotaPreference:
        wish = self._get(self.wishes, asked.quota_preference.name)
        wish.quota_config = asked.quota_preference.quota_config
        self.changes.append(f"quota {wish.quota_config.preferred_value}")
        return wish  # type: ignore[no-any-return]


def as_json(value: Any) -> Response:
    body = value if isinstance(value, dict) else json_format.MessageToDict(value)
    return Response(200, {"Content-Type": "application/json"}, json.dumps(body).encode())
