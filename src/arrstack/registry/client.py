"""A distribution server's client: questions with retries, logins and redirects. What comes of them is bounded in bytes and time."""

import contextlib
import errno
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urljoin

import requests
import tenacity

from arrstack.machine.credentials import GOOGLE_HOST, Credentials
from arrstack.machine.process import Processes
from arrstack.machine.resources import certificates
from arrstack.reference import api, is_local
from arrstack.registry.addresses import Resolve, origin, refusal, resolve
from arrstack.registry.documents import LARGEST_JSON
from arrstack.registry.errors import NotFound, Unavailable, codes, told
from arrstack.registry.patience import LOOKING, Patience
from arrstack.registry.tokens import Tokens
from arrstack.registry.transport import WIRE_ERRORS, Transport, cause, read, retry_after
from arrstack.text import duration

T = TypeVar("T")
Read = Callable[[requests.Response], T]
REDIRECTS = 5
GIVEN_UP_SECONDS = 30.0
"""How long a server that did not answer one question in all its time is asked no other."""


@dataclass(frozen=True)
class Answered:
    """An answer of a registry, with the address that gave it."""

    headers: Mapping[str, str]
    data: bytes
    url: str


@dataclass(frozen=True)
class Clock:
    """Time, as a test may have it."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


CLOCK = Clock()


class Client:
    """Of one host. Several threads may ask at once."""

    def __init__(
        self,
        host: str,
        environment: Mapping[str, str],
        patience: Patience = LOOKING,
        say: Callable[[str], None] = lambda _: None,
        clock: Clock = CLOCK,
        addresses: Resolve = resolve,
    ):
        self.host, self.base, self.patience, self.say, self.clock = host, api(host), patience, say, clock
        self.addresses = addresses
        self.transport = Transport(environment, certificates(environment), clock.now, patience.connect)
        self.tokens = Tokens(host, self.transport, Credentials(Processes(environment)), addresses)
        self.given_up: tuple[float, str] = (float("-inf"), "")
        self.is_registry = False
        self.answered = False
        """Whether anything has answered yet."""

    def ask(
        self,
        method: str,
        path: str,
        repository: str,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
        limit: int = LARGEST_JSON,
    ) -> Answered:
        """Asks below the API's base. Raises NotFound and Unavailable."""

        def whole(response: requests.Response) -> Answered:
            return Answered(response.headers, read(response, limit), response.url)

        def once() -> Answered:
            return self._once(method, path, repository, headers or {}, data, whole, self.patience.answer)

        return self._patiently(once)

    def download(self, path: str, repository: str, take: Callable[[requests.Response], None], seconds: float) -> None:
        """Asks for something large; `take` reads the answer, of each try anew. Raises NotFound and Unavailable."""
        self._patiently(lambda: self._once("GET", path, repository, {}, None, take, seconds))

    # -- with patience

    def _patiently(self, action: Callable[[], T]) -> T:
        """The action with retries: as long as Retry-After says, else with exponential back-off and jitter.

        Raises NotFound for a 404 and Unavailable for what is left after the retries.
        """
        until, why = self.given_up
        if self.clock.now() < until:
            raise Unavailable(why, final=True)
        began = self.clock.now()

        def left(state: tenacity.RetryCallState) -> float:
            return began + self._question(failure(state)) - self.clock.now()

        def tell(state: tenacity.RetryCallState) -> None:
            pause, until = state.upcoming_sleep, duration(left(state))
            self.say(f"{self.host}: {failure(state)}; trying again in {pause:.0f} s, for {until} at most")

        retrying = tenacity.Retrying(
            stop=lambda state: state.upcoming_sleep > left(state),
            wait=self._pause,
            retry=tenacity.retry_if_exception(lambda error: isinstance(error, Unavailable) and not error.final),
            before_sleep=tell,
            sleep=self.clock.sleep,
            reraise=True,
        )
        try:
            return retrying(action)
        except Unavailable as error:
            if not error.final:
                asks = f"; it asks to wait {error.retry_after:.0f} s" if error.retry_after else ""
                self.given_up = self.clock.now() + GIVEN_UP_SECONDS, f"{error}{asks}"
                raise Unavailable(f"{error}{asks}", error.retry_after) from None
            raise

    def _question(self, error: BaseException | None) -> float:
        """Seconds for all tries of a question that fails so. One who names a registry of this machine that does not run is told soon;
        one that has answered may be starting anew."""
        nobody = isinstance(error, Unavailable) and error.refused and is_local(self.host) and not self.answered
        return min(self.patience.question, self.patience.nobody) if nobody else self.patience.question

    def _pause(self, state: tenacity.RetryCallState) -> float:
        error = failure(state)
        if isinstance(error, Unavailable) and error.retry_after is not None:
            return min(error.retry_after, self.patience.longest)
        return min(2.0 ** (state.attempt_number - 1), 16.0) * random.uniform(0.5, 1.0)

    # -- once

    def _once(
        self,
        method: str,
        path: str,
        repository: str,
        headers: Mapping[str, str],
        data: bytes | None,
        take: Read[T],
        seconds: float,
    ) -> T:
        with self.transport.within(seconds), explained(f"{method} {path}"):
            response, trouble = self._send(method, path, repository, headers, data), ""
            if response.status_code == 401:
                asked = response.headers.get("WWW-Authenticate", "")
                response.close()
                trouble = self.tokens.answer(asked, repository, method != "GET")
                response = self._send(method, path, repository, headers, data)
            with response:
                self._refuse(f"{method} {path}", response, trouble)
                return take(response)

    def _refuse(self, what: str, response: requests.Response, trouble: str) -> None:
        """Raises what an answer's status comes to, where it is no success."""
        status = response.status_code
        body = read(response, LARGEST_JSON) if status in (401, 403, 404) else b""
        if status == 404 and (named := lacking(self.host, body)):
            raise Unavailable(f"{what}: 404, {named}: `arrstack infra apply` makes it", final=True)
        if status == 404 and self._is_registry(response, body):
            raise NotFound(what)
        if status in (401, 403):
            raise Unavailable(f"{what}: {status}, {self.tokens.advice(trouble or told(body))}", final=True)
        if status == 429 or status >= 500:
            raise Unavailable(f"{what}: {status}", retry_after(response))
        if status == 404:
            raise Unavailable(f"{what}: 404, by something that is no registry", final=True)
        if status >= 300:
            raise Unavailable(f"{what}: {status}", final=True)

    def _is_registry(self, response: requests.Response, body: bytes) -> bool:
        """Whether what answered 404 is a registry at all: by what it says, else by the API's base ("Determining Support")."""
        if not self.is_registry:
            self.is_registry = bool(response.headers.get("Docker-Distribution-Api-Version") or codes(body))
        if not self.is_registry:
            with self.transport.request("GET", self.base, {}) as base:
                self.is_registry = base.status_code == 200 or (base.status_code == 401 and "WWW-Authenticate" in base.headers)
        return self.is_registry

    def _send(self, method: str, path: str, repository: str, headers: Mapping[str, str], data: bytes | None) -> requests.Response:
        """The answer after redirects. Credentials go to the registry's own address and nowhere else."""
        url = urljoin(self.base, path)
        for _ in range(REDIRECTS + 1):
            own = self.tokens.headers(repository, method != "GET") if origin(url) == origin(self.base) else {}
            response = self.transport.request(method, url, {**headers, **own}, data=data)
            self.answered = True
            if method != "GET" or not response.is_redirect:
                return response
            url = urljoin(url, response.headers["Location"])
            response.close()
            if why := refusal(self.host, url, self.addresses):
                raise Unavailable(f"a redirect is not followed: {why}", final=True)
        raise Unavailable("its redirects do not end", final=True)


def failure(state: tenacity.RetryCallState) -> BaseException | None:
    """What the last try of a question raised."""
    return state.outcome.exception() if state.outcome else None


def lacking(host: str, body: bytes) -> str:
    """Artifact Registry's words for a repository that was never made, where an image of one that was is `MANIFEST_UNKNOWN`. Nothing can
    be published there: that is no answer to whether an image exists."""
    if not GOOGLE_HOST.fullmatch(host) or not any(error.code == "NAME_UNKNOWN" for error in codes(body)):
        return ""
    return told(body) or "the repository does not exist"


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """What the wire raises, as Unavailable."""
    try:
        yield
    except WIRE_ERRORS as error:
        told = cause(error)
        malformed = isinstance(error, ValueError) or "CERTIFICATE_VERIFY" in told  # and will be again
        raise Unavailable(f"{what}: {told}", final=malformed, refused=told == os.strerror(errno.ECONNREFUSED)) from None
