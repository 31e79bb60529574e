"""An OCI distribution server as a registry (distribution-spec 1.1), with docker's token authentication."""

import hashlib
import json
import random
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import requests
import tenacity
import urllib3

from arrstack.errors import RegistryError
from arrstack.machine.credentials import Credentials
from arrstack.machine.process import Processes
from arrstack.machine.resources import certificates
from arrstack.model import Answer, Image, State
from arrstack.reference import Place, api
from arrstack.registry.manifest import encoded, image_of, is_descriptor, parts
from arrstack.registry.proxies import proxies

T = TypeVar("T")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPT = ", ".join((MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_LIST))
LARGEST_JSON = 4 << 20
"""Bytes: the size up to which servers must accept a manifest (distribution-spec 1.1), and no config is larger."""
BLOCK = 1 << 20
"""Bytes of a blob that are read at once."""
TRIES = 4
LONGEST_WAIT = 60.0


class Unavailable(Exception):
    """The server did not answer, or its answer says nothing of whether the image exists."""

    def __init__(self, reason: str, retry_after: float | None = None, final: bool = False):
        super().__init__(reason)
        self.retry_after, self.final = retry_after, final


class NotFound(Exception):
    pass


class Distribution:
    def __init__(self, place: Place, environment: Mapping[str, str], sleep: Callable[[float], None] = time.sleep):
        self.place, self.host, self.name = place, place.host, str(place)
        self.base = api(place.host)
        self.credentials = Credentials(Processes(environment))
        self.session = requests.Session()
        self.session.trust_env = False  # a netrc entry would replace the token
        self.session.proxies.update(proxies(environment, place.host))
        self.session.verify = str(certificates(environment) or True)
        self.sleep = sleep
        self.tokens: dict[str, str] = {}

    # -- reading

    def lookup(self, repository: str, tag: str) -> Answer:
        try:
            return Answer(State.PRESENT, self._image(repository, tag))
        except NotFound:
            return Answer(State.ABSENT)
        except Unavailable as error:
            return Answer(State.UNKNOWN, reason=f"{self.host}: {error}")

    def _image(self, repository: str, tag: str) -> Image:
        digest, manifest = self._manifest(repository, tag)
        if isinstance(listed := manifest.get("manifests"), list):
            chosen = [m for m in listed if is_descriptor(m) and (m.get("platform") or {}).get("architecture") == "amd64"]
            if not chosen:
                raise Unavailable(f"{repository}:{tag} has no linux/amd64 image", final=True)
            digest, manifest = self._manifest(repository, chosen[0]["digest"])
        try:
            config_digest = parts(manifest)[0]["digest"]
            config = self._json(f"{self._path(repository)}/blobs/{config_digest}", repository, config_digest)[1]
            return image_of(repository, digest, manifest, config)
        except ValueError as error:
            raise Unavailable(f"{repository}:{tag} {error}", final=True) from None

    def _manifest(self, repository: str, reference: str) -> tuple[str, dict[str, Any]]:
        expected = reference if reference.startswith("sha256:") else None
        return self._json(f"{self._path(repository)}/manifests/{reference}", repository, expected)

    def _json(self, path: str, repository: str, digest: str | None) -> tuple[str, dict[str, Any]]:
        response = self._ask("GET", path, repository, headers={"Accept": ACCEPT}, stream=True)
        try:
            data = response.raw.read(LARGEST_JSON + 1, decode_content=True)
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"{path}: the answer broke off: {error.__class__.__name__}") from None
        found = "sha256:" + hashlib.sha256(data).hexdigest()
        if len(data) > LARGEST_JSON:
            raise Unavailable(f"{path} is larger than {LARGEST_JSON >> 20} MiB", final=True)
        if digest and found != digest:
            raise Unavailable(f"{path} does not have that digest", final=True)
        try:
            value = json.loads(data)
        except ValueError:
            raise Unavailable(f"{path} is not JSON: is this a registry?", final=True) from None
        if not isinstance(value, dict):
            raise Unavailable(f"{path} is not a JSON object", final=True)
        return found, value

    def blob(self, repository: str, digest: str, scratch: Path) -> Path:
        try:
            path = scratch / encoded(digest)
            self._retried(self._download, f"{self._path(repository)}/blobs/{digest}", repository, path)
        except NotFound:
            raise RegistryError(f"{self.host}: blob {digest} is missing") from None
        except (ValueError, Unavailable) as error:
            raise RegistryError(f"{self.host}: {error}") from None
        return path

    def _download(self, url: str, repository: str, path: Path) -> None:
        response = self._once("GET", url, repository, stream=True)
        hashed = hashlib.sha256()
        try:
            with response, path.open("wb") as file:
                for block in response.iter_content(BLOCK):
                    hashed.update(block)
                    file.write(block)
        except requests.RequestException as error:
            raise Unavailable(f"{url}: the answer broke off: {error.__class__.__name__}") from None
        if hashed.hexdigest() != path.name:
            raise Unavailable(f"{url} does not have that digest", final=True)

    def tags(self, repository: str) -> list[str]:
        try:
            found = self._json(f"{self._path(repository)}/tags/list", repository, None)[1].get("tags") or []
        except NotFound:
            return []
        except Unavailable as error:
            raise RegistryError(f"{self.host}: {error}") from None
        return sorted(str(tag) for tag in found)

    def reference(self, repository: str, tag: str) -> str:
        return f"docker://{self.host}/{self._path(repository)}:{tag}"

    def pinned(self, repository: str, digest: str, scratch: Path) -> str:
        return f"docker://{self.host}/{self._path(repository)}@{digest}"

    # -- writing

    def publish(self, repository: str, tag: str, send: Callable[[str, bool], str]) -> Image:
        digest = send(self.reference(repository, tag), True)  # the manifest comes last: before it, nothing is visible
        answer = self.lookup(repository, digest)
        if answer.image is None:
            raise RegistryError(f"{self.host} does not show {repository}:{tag} after the push: {answer.reason or answer.state}")
        return answer.image

    def move_tag(self, repository: str, tag: str, image: Image) -> None:
        path = f"{self._path(repository)}/manifests/"
        try:
            held = self._ask("GET", path + image.digest, repository, headers={"Accept": ACCEPT})
            kind = held.headers.get("Content-Type", MANIFEST)
            self._ask("PUT", path + tag, repository, headers={"Content-Type": kind}, data=held.content)
        except (NotFound, Unavailable) as error:
            raise RegistryError(f"{self.host}: {repository}:{tag} could not be moved: {error}") from None

    def delete_tag(self, repository: str, tag: str) -> None:
        path = f"{self._path(repository)}/manifests/"
        try:
            held = self._ask("GET", path + tag, repository, headers={"Accept": ACCEPT})
        except NotFound:
            return
        except Unavailable as error:
            raise RegistryError(f"{self.host}: {error}") from None
        try:
            try:
                self._ask("DELETE", path + tag, repository)
            except Unavailable as error:
                if not error.final:
                    raise
                # Some delete by digest alone (distribution 2.8), which takes all tags of an image. So the tag is first
                # moved to a manifest of its own, the same image with a note, and that is deleted.
                data = json.dumps(held.json() | {"annotations": {"io.arrstack.deleted": tag}}).encode()
                kind = held.headers.get("Content-Type", MANIFEST)
                self._ask("PUT", path + tag, repository, headers={"Content-Type": kind}, data=data)
                self._ask("DELETE", f"{path}sha256:{hashlib.sha256(data).hexdigest()}", repository)
        except (NotFound, Unavailable) as error:
            raise RegistryError(f"{self.host}: {repository}:{tag} could not be deleted: {error}") from None

    def collect(self) -> int:
        return 0

    # -- the wire

    def _path(self, repository: str) -> str:
        return self.place.repository(repository)

    def _ask(self, method: str, path: str, repository: str, **options: Any) -> requests.Response:
        return self._retried(self._once, method, path, repository, **options)

    def _retried(self, action: Callable[..., T], *args: Any, **options: Any) -> T:
        """The action with retries: as long as Retry-After says, else with exponential back-off and jitter.

        Raises NotFound for a 404 and Unavailable for what is left after the retries.
        """
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(TRIES),
            wait=wait,
            retry=tenacity.retry_if_exception(lambda e: isinstance(e, Unavailable) and not e.final),
            sleep=self.sleep,
            reraise=True,
        )
        return retrying(action, *args, **options)

    def _once(self, method: str, path: str, repository: str, **options: Any) -> requests.Response:
        headers, trouble = dict(options.pop("headers", {})), ""
        try:
            response = self._send(method, path, headers, **options)
            if response.status_code == 401:
                trouble = self._authenticate(response, repository, method)
                response = self._send(method, path, headers, **options)
        except requests.RequestException as error:
            raise Unavailable(f"{method} {path}: {error.__class__.__name__}") from None
        if response.status_code == 404:
            raise NotFound(path)
        if response.status_code in (401, 403):
            told = f"{method} {path}: {response.status_code}, not allowed; log in with `skopeo login {self.host}`"
            raise Unavailable(f"{told} ({trouble})" if trouble else told, final=True)
        if response.status_code == 429 or response.status_code >= 500:
            raise Unavailable(f"{method} {path}: {response.status_code}", retry_after(response))
        if response.status_code >= 300:
            raise Unavailable(f"{method} {path}: {response.status_code}", final=True)
        return response

    def _send(self, method: str, path: str, headers: dict[str, str], **options: Any) -> requests.Response:
        scope = self._scope_of(path)
        if token := self.tokens.get(scope):
            headers = {**headers, "Authorization": token}
        return self.session.request(method, self.base + path, headers=headers, timeout=(10, 60), **options)

    def _scope_of(self, path: str) -> str:
        return re.split(r"/(?:manifests|blobs|tags)/", path)[0]

    def _authenticate(self, response: requests.Response, repository: str, method: str) -> str:
        """Answers a challenge (RFC 7235; distribution's token specification) and keeps the token for this repository.
        Returns what kept a credential helper from answering."""
        challenge = response.headers.get("WWW-Authenticate", "")
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        login = self.credentials.find(self.host, self._path(repository))
        basic = login.login.basic if login.login and login.login.user else ""
        if challenge.lower().startswith("basic") and basic:
            self.tokens[self._path(repository)] = f"Basic {basic}"
        elif challenge.lower().startswith("bearer") and "realm" in fields:
            scope = f"repository:{self._path(repository)}:pull" + ("" if method == "GET" else ",push,delete")
            headers = {"Authorization": f"Basic {basic}"} if basic else {}
            answer = self.session.get(
                fields["realm"], params={"service": fields.get("service", ""), "scope": scope}, headers=headers, timeout=(10, 60)
            )
            if answer.status_code >= 500 or answer.status_code == 429:
                raise Unavailable(f"token: {answer.status_code}", retry_after(answer))
            if answer.ok:
                try:
                    given = answer.json()
                    self.tokens[self._path(repository)] = f"Bearer {given.get('token') or given['access_token']}"
                except (ValueError, KeyError, AttributeError):
                    raise Unavailable("the token server's answer holds no token", final=True) from None
        return login.trouble


def retry_after(response: requests.Response) -> float | None:
    """Seconds that the server asks to wait (RFC 9110, section 10.2.3; the date form is rare and not read)."""
    given = response.headers.get("Retry-After", "")
    return float(given) if given.isdigit() else None


def wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, Unavailable) and error.retry_after is not None:
        return min(error.retry_after, LONGEST_WAIT)
    return min(2.0 ** (state.attempt_number - 1), 8.0) * random.uniform(0.5, 1.0)
