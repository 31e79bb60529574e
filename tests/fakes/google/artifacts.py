"""Artifact Registry's data plane: the real docker-registry behind Google's host names, its bearer challenge and its errors.

    with GoogleServer() as google, tls_proxy(google.address, folder) as proxy:
        artifacts = Artifacts(google, registry_server, {"my-project/arr-coc-registry"})
        artifacts.environment(proxy)  # for who asks https://us-central1-docker.pkg.dev

A token of Google's buys a token of the registry's, as a password of the user `oauth2accesstoken`
(cloud.google.com/artifact-registry/docs/docker/authentication). The words of its errors are those that people report:
deploy-cloudrun#420 (`Repository "..." not found`), firezone#10484 (`Failed to fetch`), terraform-google-kubernetes-engine#1779 (`denied on
resource`).
"""

import base64
import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from email.message import Message

from tests.fakes.google.server import GoogleServer, Request, Response
from tests.fakes.google.tls import Proxy

IMAGE = re.compile(r"/v2/([^/]+/[^/]+)/.+/(?:manifests|blobs|tags)/.*")
KEPT = (
    "content-type",
    "content-length",
    "content-range",
    "docker-content-digest",
    "docker-upload-uuid",
    "link",
    "location",
    "range",
)
USERS = ("oauth2accesstoken", "_dcgcloud_token")
"""By whom an access token comes: from who writes it, and from the helper of gcloud."""
SENT = ("Accept", "Content-Type", "Content-Range", "Range")
REGISTRY_TOKEN = "registry-token-of-"


@dataclass
class Artifacts:
    """`repositories` are those that were made, as PROJECT/NAME; `forbidden` are those that the login may not read."""

    google: GoogleServer
    upstream: str
    repositories: set[str]
    forbidden: set[str] = field(default_factory=set)
    given: set[str] = field(default_factory=set)
    """The registry's own tokens that are good."""

    def __post_init__(self) -> None:
        self.google.plain("*", r"/v2/token", self._token)
        self.google.plain("*", r"/v2/.*", self._guarded)

    def environment(self, proxy: Proxy) -> dict[str, str]:
        """What a client of https://REGION-docker.pkg.dev needs to come here."""
        return {"HTTPS_PROXY": proxy.address, "SSL_CERT_FILE": str(proxy.authority)}

    def forget(self) -> None:
        """No token of the registry's that was given until now is good any longer."""
        self.given.clear()

    def _token(self, request: Request) -> Response:
        kind, _, text = request.headers.get("Authorization", "").partition(" ")
        user, _, secret = base64.b64decode(text).decode().partition(":") if kind == "Basic" else ("", "", "")
        self.google.shown |= {text, secret} - {""}
        scope = next((value for name, value in request.query if name == "scope"), "")
        repository = "/".join(scope.split(":")[1].split("/")[:2]) if scope else ""
        known = re.fullmatch(r"ya29\.secret-token-(\d+)", secret)
        if user not in USERS or not known or int(known[1]) > self.google.issued or secret in self.google.expired:
            return refusal(
                403, "DENIED", f"Unauthenticated request. Unauthenticated requests do not have permission {on(repository)}"
            )
        if repository in self.forbidden:
            return refusal(403, "DENIED", f'Permission "artifactregistry.repositories.downloadArtifacts" denied {on(repository)}')
        token = f"{REGISTRY_TOKEN}{len(self.given)}-{secret}"
        self.given.add(token)
        return answered(200, {"token": token, "expires_in": 3600})

    def _guarded(self, request: Request) -> Response:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.given:
            host = request.headers["Host"]
            challenge = f'Bearer realm="https://{host}/v2/token",service="{host}"'
            refused = refusal(401, "UNAUTHORIZED", "authentication failed")
            return Response(401, {**refused.headers, "WWW-Authenticate": challenge}, refused.body)
        named = IMAGE.fullmatch(request.path)
        if named and named[1] not in self.repositories:
            return refusal(404, "NAME_UNKNOWN", f'Repository "{named[1].partition("/")[2]}" not found')
        return self._forward(request)

    def _forward(self, request: Request) -> Response:
        ours = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": request.headers["Host"]}
        # A header may come several times, as skopeo's Accept does.
        sent = {name: ", ".join(request.headers.get_all(name, [])) for name in SENT if name in request.headers}
        body = request.body if request.method in ("POST", "PUT", "PATCH") else None
        asked = urllib.request.Request(f"http://{self.upstream}{request.whole}", body, {**sent, **ours}, method=request.method)
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                return Response(answer.status, kept(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            if error.code == 404 and "/manifests/" in request.path:
                return refusal(404, "MANIFEST_UNKNOWN", f'Failed to fetch "{request.path.rpartition("/")[2]}"')
            return Response(error.code, kept(error.headers), error.read())


def kept(headers: Message) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k.lower() in KEPT}


def on(repository: str) -> str:
    project, _, name = repository.partition("/")
    return f'on resource "projects/{project}/locations/us-central1/repositories/{name}" (or it may not exist)'


def refusal(status: int, code: str, message: str) -> Response:
    """An error as registries say it (distribution-spec 1.1, "Error Codes")."""
    return answered(status, {"errors": [{"code": code, "message": message}]})


def answered(status: int, document: object) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json.dumps(document).encode())
