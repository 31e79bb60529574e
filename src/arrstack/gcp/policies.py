"""Roles: who may do what on the project, a repository, a bucket or a service account. A role is added to what is there, never taken away.

A policy is read and written back with its etag (google.iam.v1.Policy): a change of somebody else's in between is not lost, the whole is tried
again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from arrstack.gcp.api import TIMEOUT, Api, passing
from arrstack.gcp.difference import Resource
from arrstack.gcp.services import IAM, Buckets, ask

VERSION = 3
"""Of a policy: with conditions, which writing an older one would lose."""


@dataclass(frozen=True)
class Policies:
    api: Api
    location: str

    def find(self, resource: Resource) -> Mapping[str, Any] | None:
        """The wants themselves where the member has the role without a condition."""
        wants = resource.wants
        policy = self.api.call("ask who may do what", resource.name, lambda: self._read(wants["on"]))
        return wants if granted(policy, wants["role"], wants["member"]) else None

    def make(self, resource: Resource, _: bool) -> None:
        from google.api_core.exceptions import Aborted, Conflict, PreconditionFailed

        wants = resource.wants

        def add() -> None:
            policy = self._read(wants["on"])
            if not granted(policy, wants["role"], wants["member"]):
                self._write(wants["on"], with_grant(policy, wants["role"], wants["member"]))

        def again(error: Exception) -> bool:
            return passing(error) or isinstance(error, (Aborted, Conflict, PreconditionFailed))

        self.api.call("give a role", resource.name, add, again)

    def _read(self, on: str) -> dict[str, Any]:
        """A policy in its JSON form."""
        kind, _, name = on.rpartition(" ")
        if kind == "bucket":
            policy = (
                Buckets(self.api)
                ._client()
                .bucket(name)
                .get_iam_policy(requested_policy_version=VERSION, timeout=TIMEOUT, retry=None)
            )
            return {"bindings": [{**each, "members": sorted(each["members"])} for each in policy.bindings], "etag": policy.etag}
        if kind == "service account":
            url = f"{self.api.endpoint('iam') or IAM}/v1/projects/{self.api.project}/serviceAccounts/{name}:getIamPolicy"
            return ask(self.api, "ask who may do what", name, "POST", f"{url}?options.requestedPolicyVersion={VERSION}", {}) or {}
        from google.iam.v1.iam_policy_pb2 import GetIamPolicyRequest
        from google.iam.v1.options_pb2 import GetPolicyOptions
        from google.protobuf import json_format

        client, path = self._client(kind, name)
        asked = GetIamPolicyRequest(resource=path, options=GetPolicyOptions(requested_policy_version=VERSION))
        return dict(json_format.MessageToDict(client.get_iam_policy(asked, timeout=TIMEOUT)))

    def _write(self, on: str, policy: dict[str, Any]) -> None:
        kind, _, name = on.rpartition(" ")
        if kind == "bucket":
            from google.api_core.iam import Policy

            bucket = Buckets(self.api)._client().bucket(name)
            changed = Policy(policy["etag"], VERSION)  # type: ignore[no-untyped-call]
            changed.bindings = policy["bindings"]
            bucket.set_iam_policy(changed, timeout=TIMEOUT, retry=None)
            return
        if kind == "service account":
            url = f"{self.api.endpoint('iam') or IAM}/v1/projects/{self.api.project}/serviceAccounts/{name}:setIamPolicy"
            ask(self.api, "give a role", name, "POST", url, {"policy": policy})
            return
        from google.iam.v1.iam_policy_pb2 import SetIamPolicyRequest
        from google.protobuf import json_format

        client, path = self._client(kind, name)
        request = json_format.ParseDict({"resource": path, "policy": policy}, SetIamPolicyRequest())
        client.set_iam_policy(request, timeout=TIMEOUT)

    def _client(self, kind: str, name: str) -> tuple[Any, str]:
        """The client that keeps a policy, and the resource's full name there."""
        if kind == "repository":
            from google.cloud.artifactregistry_v1 import ArtifactRegistryClient

            return self.api.client(ArtifactRegistryClient, "artifactregistry"), f"{self.location}/repositories/{name}"
        from google.cloud.resourcemanager_v3 import ProjectsClient

        return self.api.client(ProjectsClient, "cloudresourcemanager"), f"projects/{self.api.project}"


def granted(policy: Mapping[str, Any], role: str, member: str) -> bool:
    """Whether the member has the role, whatever the circumstances."""
    return any(
        each["role"] == role and member in each["members"] and not each.get("condition") for each in policy.get("bindings", [])
    )


def with_grant(policy: Mapping[str, Any], role: str, member: str) -> dict[str, Any]:
    """The policy with the role for the member, in its binding without a condition."""
    bindings = [dict(each) for each in policy.get("bindings", [])]
    for each in bindings:
        if each["role"] == role and not each.get("condition"):
            each["members"] = [*each["members"], member]
            break
    else:
        bindings.append({"role": role, "members": [member]})
    return {**policy, "bindings": bindings, "version": VERSION}
