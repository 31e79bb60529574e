"""Logins of registries, as `docker login`, `skopeo login`, `podman login` and `buildah login` keep them.

Where the files are and how their keys match: containers-auth.json(5). `credHelpers` and `credsStore`: docker's config.json
(docker/cli, `cli/config`). A helper is `docker-credential-NAME get`, which reads a server's name and prints JSON
(docker/docker-credential-helpers, `credentials/credentials.go`). Whoever pushes a credential there is not asked.

    Credentials(Processes()).find("ghcr.io", "team/image").login
"""

import base64
import os
import pwd
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from arrstack.errors import MachineError
from arrstack.machine.process import Processes
from arrstack.reference import HUB, HUB_NAMES

HUB_SERVER = "https://index.docker.io/v1/"
"""Docker's own key for Docker Hub (`registry.IndexServer`)."""
TOKEN_USER = "<token>"
"""The user's name by which a helper says that its secret is an identity token."""
HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
GOOGLE_HOST = re.compile(r"([a-z0-9-]+-)?docker\.pkg\.dev|([a-z]+\.)?gcr\.io")
GOOGLE_LOGIN = "arrstack.gcp.login"
"""The module that answers as a helper for Google's registries, by the login that google-auth finds. A process of its own: what it
imports takes longer than a plan."""
HELPER_SECONDS = 20.0
NOT_FOUND = ("credentials not found in native keychain", "no credentials server URL", "no credentials username")
"""What a helper says on standard output where it simply has none (`credentials/error.go`)."""
LARGEST_FILE = 4 << 20
OWN_RUNTIME = ("run/user/{user}", "tmp/podman-run-{user}", "var/tmp/containers-user-{user}/containers")


@dataclass(frozen=True)
class Login:
    """A user and a secret, or an identity token (an OAuth 2 refresh token) in place of both. No `repr` shows a secret.

    `private` says that skopeo itself would not find this login: a credsStore holds it, or a file that skopeo does not read.
    """

    user: str
    secret: str = field(repr=False)
    identity_token: str = field(default="", repr=False)
    private: bool = False

    @property
    def basic(self) -> str:
        """Base64 of USER:SECRET in UTF-8 (RFC 7617)."""
        return base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


@dataclass(frozen=True)
class Found:
    """The login for a repository, if there is one; `trouble` says what kept a helper from answering."""

    login: Login | None = None
    trouble: str = ""


class Entry(msgspec.Struct):
    auth: str | None = None
    username: str | None = None
    password: str | None = None
    identitytoken: str | None = None


class AuthFile(msgspec.Struct):
    """Each entry is read on its own: a damaged one of another registry is nobody's trouble."""

    auths: dict[str, msgspec.Raw] | None = None
    credHelpers: dict[str, str] | None = None  # noqa: N815
    credsStore: str | None = None  # noqa: N815


class HelperAnswer(msgspec.Struct):
    Username: str
    Secret: str


class Credentials:
    def __init__(self, processes: Processes, user: int | None = None, root: Path = Path("/")):
        """`processes` holds the environment that says where the files are. `user` is the caller's id, this process's by
        default; `root` is what the machine's own folders are below of."""
        self.processes, self.root = processes, root
        self.user = os.geteuid() if user is None else user

    def find(self, host: str, repository: str) -> Found:
        """The login for a repository of a host, Docker Hub's host being `docker.io`. Never raises: a file that cannot be
        read counts as none, and a helper that fails is told in `trouble`."""
        trouble = ""
        for path, seen_by_skopeo in self.files():
            held = read(path)
            if held is None or not (seen_by_skopeo or path.stat().st_uid == self.user):
                continue  # where everybody may write, a file counts that is the user's own
            found = self._in_file(held, host, repository)
            if found.login:
                return found if seen_by_skopeo else Found(private(found.login))
            trouble = trouble or found.trouble
        if GOOGLE_HOST.fullmatch(host) and not trouble:
            found = self._asked([sys.executable, "-I", "-m", GOOGLE_LOGIN, "get"], "the login for Google Cloud", host)
            return Found(private(found.login)) if found.login else found
        return Found(None, trouble)

    def files(self) -> Iterator[tuple[Path, bool]]:
        """The files in the order in which they are searched, and whether skopeo reads them too."""
        environment = self.processes.environment
        home = Path(environment.get("HOME") or home_of(self.user))
        if named := environment.get("REGISTRY_AUTH_FILE"):
            yield Path(named), True
        elif runtime := environment.get("XDG_RUNTIME_DIR"):
            yield Path(runtime, "containers/auth.json"), True
        else:
            yield self.root / f"run/containers/{self.user}/auth.json", True
            # podman and buildah of an ordinary user make themselves a runtime folder, the first of these that they can.
            for folder in OWN_RUNTIME if self.user else ():
                yield self.root / folder.format(user=self.user) / "containers/auth.json", False
        yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "containers/auth.json", True
        yield Path(environment.get("DOCKER_CONFIG") or home / ".docker") / "config.json", True
        yield home / ".dockercfg", True

    def _in_file(self, held: AuthFile, host: str, repository: str) -> Found:
        for name in (*names(host), *((HUB_SERVER,) if host == HUB else ())):
            if helper := (held.credHelpers or {}).get(name):
                return self._helped(helper, name)
        if login := entry(held.auths or {}, host, repository):
            return Found(login)
        trouble = ""
        if held.credsStore:
            for name in (HUB_SERVER, HUB) if host == HUB else (host, f"https://{host}"):
                found = self._helped(held.credsStore, name)
                if found.login:
                    return Found(private(found.login))
                trouble = trouble or found.trouble
        return Found(None, trouble)

    def _helped(self, helper: str, server: str) -> Found:
        """What a credential helper says of a server."""
        if not HELPER.fullmatch(helper):
            return Found(trouble=f"'{helper[:40]}' is no credential helper's name")
        program = f"docker-credential-{helper}"
        return self._asked([program, "get"], program, server)

    def _asked(self, argv: Sequence[str], program: str, server: str) -> Found:
        """The same of a command that speaks as a helper does; `program` is its name in an error."""
        try:
            told = self.processes.run(argv, check=False, text=server, seconds=HELPER_SECONDS)
        except MachineError as error:
            return Found(trouble=error.message)
        if told.status:
            said = (told.output.strip() or told.errors.strip() or f"status {told.status}").splitlines()[0]
            return Found(trouble="" if said in NOT_FOUND else f"{program}: {said[:200]}")
        try:
            answer = msgspec.json.decode(told.output, type=HelperAnswer)
        except (ValueError, RecursionError):
            return Found(trouble=f"{program} did not answer with a user and a secret")
        if answer.Username == TOKEN_USER:
            return Found(Login("", "", answer.Secret))
        return Found(Login(answer.Username, answer.Secret) if answer.Username else None)


def private(login: Login) -> Login:
    return Login(login.user, login.secret, login.identity_token, True)


def home_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_dir
    except KeyError:
        return "/"


def read(path: Path) -> AuthFile | None:
    """A file's content; None where there is none that can be read."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_FILE:
            return None
        data = path.read_bytes()
        if path.name == ".dockercfg":  # the older form: the entries alone
            return AuthFile(auths=msgspec.json.decode(data, type=dict[str, msgspec.Raw]))
        return msgspec.json.decode(data, type=AuthFile)
    except (OSError, ValueError, RecursionError):
        return None


def names(host: str) -> tuple[str, ...]:
    return HUB_NAMES if host == HUB else (host,)


def entry(auths: dict[str, msgspec.Raw], host: str, repository: str) -> Login | None:
    """The login of the longest key that a repository's name begins with, part by part; last the keys that are addresses."""
    parts = repository.split("/")
    for length in range(len(parts), -1, -1):
        for name in names(host):
            if login := decoded(auths.get("/".join([name, *parts[:length]]))):
                return login
    for key, value in auths.items():
        server = key.removeprefix("http://").removeprefix("https://")
        if server != key and server.partition("/")[0] in names(host) and (login := decoded(value)):
            return login
    return None


def decoded(value: msgspec.Raw | None) -> Login | None:
    """An entry's login; None where it holds none, as docker leaves one where a helper has it."""
    if value is None:
        return None
    try:
        held = msgspec.json.decode(value, type=Entry)
        text = base64.b64decode(held.auth or "", validate=True).decode()
    except (ValueError, RecursionError):
        return None
    user, colon, secret = text.partition(":")
    if not colon:
        user, secret = held.username or "", held.password or ""
    login = Login(user, secret.strip("\0"), held.identitytoken or "")
    return login if login.identity_token or (login.user and login.secret) else None
