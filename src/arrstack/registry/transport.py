"""HTTP with a time by which an answer must have come as a whole: `requests` limits each read alone, and a server that sends
one byte a second would be listened to for ever."""

import contextlib
import http.client
import io
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from arrstack.registry.proxies import proxies

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
"""The longest silence between two reads, however late the whole answer may come."""
WIRE_ERRORS = (OSError, ValueError, urllib3.exceptions.HTTPError, http.client.HTTPException)
"""What a server, a network or a malformed address can make `requests` raise; its own errors are OSErrors."""


class Reader(io.RawIOBase):
    """A socket's bytes, each read waiting at most for what is left of the time."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, left: Callable[[], float]):
        self.raw, self.sock, self.left = raw, sock, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self.sock.settimeout(min(self.left(), READ_SECONDS))
        return self.raw.readinto(buffer)

    def close(self) -> None:
        self.raw.close()
        super().close()


class Adapter(requests.adapters.HTTPAdapter):
    """Connections whose answers are read through a Reader. The time is each thread's own."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self.clock, self.mine = clock, threading.local()

        class Response(http.client.HTTPResponse):
            def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
                super().__init__(sock, *args, **options)
                self.fp = io.BufferedReader(Reader(self.fp.detach(), sock, left))

        left = self.left
        self.response = Response

    def left(self) -> float:
        """Seconds. Raises TimeoutError where there are none."""
        rest: float = getattr(self.mine, "end", self.clock() + READ_SECONDS) - self.clock()
        if rest <= 0:
            raise TimeoutError("the answer took too long")
        return rest

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **options)  # its connections' class is set per pool
        if pool.ConnectionCls.response_class is not self.response:
            pool.ConnectionCls = type("Timed", (pool.ConnectionCls,), {"response_class": self.response})
        return pool


class Transport:
    """One client for everything that is asked over HTTP. Redirects are not followed, netrc is not read."""

    def __init__(
        self,
        environment: Mapping[str, str],
        bundle: Path | None,
        clock: Callable[[], float] = time.monotonic,
        connect: float = CONNECT_SECONDS,
    ):
        """`connect` is how many seconds a server has until it takes a connection."""
        self.environment, self.adapter, self.connect = environment, Adapter(clock), connect
        self.session = requests.Session()
        self.session.trust_env = False  # a netrc entry would replace a token
        self.session.verify = str(bundle) if bundle else True
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, self.adapter)

    @contextlib.contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """All answers of this thread that are read inside must have come in that time."""
        self.adapter.mine.end = self.adapter.clock() + seconds
        try:
            yield
        finally:
            del self.adapter.mine.end

    def request(self, method: str, url: str, headers: Mapping[str, str], **options: Any) -> requests.Response:
        """The answer, its body not read yet. Raises WIRE_ERRORS."""
        return self.session.request(
            method,
            url,
            headers=dict(headers),
            proxies=proxies(self.environment, urlsplit(url).netloc.rpartition("@")[2]),
            timeout=(min(self.adapter.left(), self.connect), READ_SECONDS),
            allow_redirects=False,
            stream=True,
            **options,
        )


def read(response: requests.Response, limit: int) -> bytes:
    """A body of at most `limit` bytes, decompressed. Raises WIRE_ERRORS, and ValueError for a larger one."""
    data = bytes(response.raw.read(limit + 1, decode_content=True))
    if len(data) > limit:
        response.close()
        raise ValueError(f"it is larger than {limit >> 20} MiB")
    response.close()
    return data


def cause(error: BaseException) -> str:
    """One line for a person: the innermost of what went wrong, without addresses of objects."""
    seen: list[BaseException] = []
    inner: object = error
    while isinstance(inner, BaseException) and inner not in seen:
        seen.append(inner)
        inner = getattr(inner, "reason", None) or next((a for a in inner.args if isinstance(a, BaseException)), inner.__cause__)
    last = seen[-1]
    if isinstance(last, urllib3.exceptions.IncompleteRead | http.client.IncompleteRead):
        return "the answer broke off"
    text = (last.strerror if isinstance(last, OSError) else None) or str(last) or type(last).__name__
    return " ".join(text.split())[:200]


def retry_after(response: requests.Response) -> float | None:
    """Seconds that the server asks to wait (RFC 9110, section 10.2.3; the date form is rare and not read)."""
    given = response.headers.get("Retry-After", "").strip()
    return float(given) if re.fullmatch(r"[0-9]{1,9}", given) else None
