"""What this client proves itself by: HTTP's Basic, or a token that the registry's token server gives for a login or for
nobody (distribution, docs/spec/auth/token.md and oauth.md)."""

import re

import msgspec

from arrstack.machine.credentials import GOOGLE_HOST, Credentials, Login
from arrstack.reference import is_local
from arrstack.registry.addresses import Resolve, refusal, resolve
from arrstack.registry.challenge import Challenge, challenges
from arrstack.registry.documents import decoded
from arrstack.registry.errors import Unavailable, told
from arrstack.registry.transport import Transport, read, retry_after

LARGEST_TOKEN = 1 << 20
HEADER = re.compile(r"[!-~]+")
"""What a header may hold of a token: visible ASCII (RFC 6750 has less)."""
CLIENT = "arrstack"


class TokenAnswer(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None


class Tokens:
    """The tokens of one registry, by repository and by whether they allow to write."""

    def __init__(self, host: str, transport: Transport, credentials: Credentials, addresses: Resolve = resolve):
        self.host, self.transport, self.credentials, self.addresses = host, transport, credentials, addresses
        self.held: dict[tuple[str, bool], str] = {}

    def headers(self, repository: str, writing: bool) -> dict[str, str]:
        """What to send with a question: nothing as long as the server did not ask for anything."""
        token = self.held.get((repository, True)) or ("" if writing else self.held.get((repository, False), ""))
        return {"Authorization": token} if token else {}

    def answer(self, header: str, repository: str, writing: bool) -> str:
        """Answers a server's challenge as well as can be. Returns what kept a credential helper from answering, or the token server
        from giving a token.

        Raises Unavailable where the token server fails, and what a Transport does.
        """
        asked = {each.scheme: each for each in reversed(challenges(header))}
        found = self.credentials.find(self.host, repository)
        for key in ((repository, False), (repository, True)):
            self.held.pop(key, None)
        bearer, refused = asked.get("bearer"), ""
        if bearer and "realm" in bearer.parameters:
            token, refused = self._token(bearer, repository, writing, found.login)
            if token:
                self.held[repository, writing] = f"Bearer {token}"
        elif "basic" in asked and found.login and found.login.user:
            self.held[repository, writing] = f"Basic {found.login.basic}"
        return found.trouble or refused

    def advice(self, trouble: str) -> str:
        """How a person comes to be allowed here."""
        mended = (
            "`arrstack infra check --member user:YOU` names the role that is missing, and the command that gives it"
            if GOOGLE_HOST.fullmatch(self.host)
            else f"log in with `skopeo login {self.host}`"
        )
        return f"not allowed; {mended}" + (f" ({trouble})" if trouble else "")

    def _token(self, challenge: Challenge, repository: str, writing: bool, login: Login | None) -> tuple[str, str]:
        """A token of the server that a challenge names; where it refuses '', and what it says."""
        realm = challenge.parameters["realm"]
        why = refusal(self.host, realm, self.addresses)
        if not why and login and realm.startswith("http://") and not is_local(host_of(realm)):
            why = "a login does not go over plain HTTP"
        if why:
            raise Unavailable(f"the token server is not asked: {why}", final=True)
        own = f"repository:{repository}:pull" + (",push,delete" if writing else "")
        wanted = {"service": challenge.parameters.get("service", ""), "scope": challenge.parameters.get("scope") or own}
        if login and login.identity_token:
            form = {"grant_type": "refresh_token", "refresh_token": login.identity_token, "client_id": CLIENT, **wanted}
            answer = self.transport.request("POST", realm, {}, data=form)
        else:
            headers = {"Authorization": f"Basic {login.basic}"} if login else {}
            answer = self.transport.request("GET", realm, headers, params=wanted)
        if answer.status_code == 429 or answer.status_code >= 500:
            raise Unavailable(f"token: {answer.status_code}", retry_after(answer))
        body = read(answer, LARGEST_TOKEN)
        if answer.status_code != 200:
            return "", told(body)
        return token_in(body), ""


def token_in(data: bytes) -> str:
    """The token of a token server's answer. Raises Unavailable where it holds none that a header can."""
    try:
        held = decoded(data, TokenAnswer)
    except ValueError:
        held = TokenAnswer()
    token = held.token or held.access_token or ""
    if not HEADER.fullmatch(token):
        raise Unavailable("the token server's answer holds no token", final=True)
    return token


def host_of(url: str) -> str:
    return url.partition("://")[2].partition("/")[0].rpartition("@")[2]
