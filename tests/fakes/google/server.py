"""One HTTP server for Google's APIs: its routes are the official clients' own, its messages the official types.

with GoogleServer() as google:
    google.rpc(_BaseCloudBuildRestTransport, "GetBuild", GetBuildRequest, lambda request: Build(id=request.id))
    google.faults.append(Fault("GET .*/builds/", status=503))
    CloudBuildClient(transport="rest", client_options={"api_endpoint": google.address}, credentials=...)
"""

import functools
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from google.protobuf import json_format

STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: the connection ends with a reset."""


class ApiError(Exception):
    """What an API answers instead of a message. `details` are JSON of google.rpc messages, with their @type."""

    def __init__(self, code: int, message: str, details: list[dict[str, Any]] | None = None):
        super().__init__(message)
        self.code, self.message, self.details = code, message, details or []


@dataclass
class Fault:
    """What happens to the next `times` requests whose `METHOD /path?query` the expression is found in, `skip` of them spared."""

    matches: str
    status: int = 0
    """The answer's, without the request being carried out; or `after` it was."""
    message: str = "a fault on demand"
    reset: bool = False
    """The connection is reset in place of an answer; before the request is carried out, or `after`."""
    after: bool = False
    cut: int = -1
    """Of the answer's body only so many bytes are sent; then the connection is reset."""
    delay: float = 0.0
    """Seconds before anything."""
    times: int = 1
    skip: int = 0


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: Message
    body: bytes
    whole: str
    """The path with the query, as it was sent."""


@dataclass(frozen=True)
class Response:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class GoogleServer:
    """Serves what `rpc` and `plain` add. `seen` are the requests, as `METHOD /path?query`, in order."""

    faults: list[Fault] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)
    """The access tokens that came with requests."""
    expired: set[str] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    issued: int = 0
    clock_skew: float = 0.0
    """Seconds that this server's clock is ahead of the machine's, in its Date headers."""

    def __post_init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Callable[[Request, re.Match[str]], Response]]] = []
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_port}"
        self.plain("POST", "/token", self._token)

    def __enter__(self) -> "GoogleServer":
        threading.Thread(target=lambda: self._http.serve_forever(poll_interval=0.05), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    # -- what it serves

    def rpc(self, transport: Any, name: str, request_type: Any, answer: Callable[[Any], Any]) -> None:
        """Serves a method: `transport` is the `_Base...RestTransport` of the client's `rest_base`, which names its routes.
        `answer` takes a request of that type and returns a message, or None for an empty one. It may raise ApiError."""
        for option in getattr(transport, f"_Base{name}")._get_http_options():
            expression = re.compile(uri_pattern(option["uri"]))
            body = option.get("body", "")

            def serve(request: Request, found: re.Match[str], body: str = body) -> Response:
                wanted = read_message(request_type, request, found, body)
                answered = answer(wanted)
                return Response(200, {"Content-Type": "application/json"}, json.dumps(as_dict(answered, request)).encode())

            self._routes.append((option["method"].upper(), expression, serve))

    def plain(self, method: str, pattern: str, answer: Callable[[Request], Response]) -> None:
        """Serves whatever else: `pattern` is a regular expression of the path, `method` one or `*`."""
        self._routes.append((method, re.compile(pattern), lambda request, _: answer(request)))

    # -- logins

    def expire(self) -> None:
        """No token that came until now is good any longer. A service account signs its own: another one a second later."""
        self.expired |= self.shown

    def login(self, folder: Path) -> Path:
        """A service account's key file, whose tokens come from here: for GOOGLE_APPLICATION_CREDENTIALS."""
        path = folder / "service-account.json"
        named = {"client_email": "builder@project.iam.gserviceaccount.com", "token_uri": f"{self.address}/token"}
        path.write_text(json.dumps({"type": "service_account", "private_key": private_key(), "private_key_id": "1", **named}))
        return path

    def _token(self, request: Request) -> Response:
        self.issued += 1
        body = json.dumps({"access_token": f"ya29.secret-token-{self.issued}", "expires_in": 3600, "token_type": "Bearer"})
        return Response(200, {"Content-Type": "application/json"}, body.encode())

    # -- answering

    def answer(self, request: Request) -> Response:
        """The response to a request that no fault keeps from being carried out."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.shown.add(token)
        if token in self.expired and request.path != "/token":
            return problem(ApiError(401, "Request had invalid authentication credentials."))
        for method, expression, serve in self._routes:
            if method in ("*", request.method) and (found := expression.fullmatch(request.path)):
                try:
                    return serve(request, found)
                except ApiError as error:
                    return problem(error)
                except json_format.ParseError as error:
                    return problem(ApiError(400, f"Invalid JSON payload received. {error}"))
        return problem(ApiError(404, f"no such method: {request.method} {request.path}"))

    def _fault(self, line: str) -> Fault | None:
        with self._lock:
            self.seen.append(line)
            for fault in self.faults:
                if fault.times and re.search(fault.matches, line):
                    if fault.skip:
                        fault.skip -= 1
                        return None
                    fault.times -= 1
                    return fault
        return None

    def _handler(server) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None: ...

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string((timestamp or time.time()) + server.clock_skew)

            def handle_any(self) -> None:
                parts = urlsplit(self.path)
                fault = server._fault(f"{self.command} {self.path}")
                if fault and fault.delay:
                    time.sleep(fault.delay)
                if fault and fault.reset and not fault.after:
                    return self.reset()
                body = read_body(self)
                request = Request(self.command, parts.path, parse_qsl(parts.query), self.headers, body, self.path)
                server.requests.append(request)
                refused = problem(ApiError(fault.status, fault.message)) if fault and fault.status else None
                if fault and refused and not fault.after:
                    return self.send(refused)
                carried_out = server.answer(request)
                response = refused or carried_out
                if fault and fault.reset:
                    return self.reset()
                return self.send(response, fault.cut if fault else -1)

            def send(self, response: Response, cut: int = -1) -> None:
                self.send_response(response.status)
                for name, value in response.headers.items():
                    self.send_header(name, value)
                if "content-length" not in map(str.lower, response.headers):  # of a HEAD it is another's
                    self.send_header("Content-Length", str(len(response.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(response.body if cut < 0 else response.body[:cut])
                if cut >= 0:
                    self.wfile.flush()
                    time.sleep(0.05)  # what was sent arrives before the end does
                    self.reset()

            def reset(self) -> None:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                self.close_connection = True
                self.rfile.close()
                self.connection.close()

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any  # noqa: N815

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (OSError, ValueError):  # who asked is gone, or was sent away
                    self.close_connection = True

            def finish(self) -> None:
                try:
                    super().finish()
                except (OSError, ValueError):
                    return

        return Handler


@functools.cache
def private_key() -> str:
    """A key that signs nothing of worth, in PEM."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def read_body(handler: BaseHTTPRequestHandler) -> bytes:
    """A request's body, with a length or in chunks (RFC 9112, section 7.1)."""
    if handler.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    body = bytearray()  # which grows in place: a layer comes in thousands of chunks
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return bytes(body)


def problem(error: ApiError) -> Response:
    """An error in the form of Google's JSON APIs (AIP-193)."""
    told = {"code": error.code, "message": error.message, "status": STATUSES.get(error.code, "UNKNOWN"), "details": error.details}
    return Response(error.code, {"Content-Type": "application/json"}, json.dumps({"error": told}).encode())


def uri_pattern(uri: str) -> str:
    """A route of google.api.http as a regular expression: `/v1/{name=projects/*/builds/*}:cancel`."""
    out = ""
    for literal, variable in re.findall(r"([^{]*)(?:\{([^}]*)\})?", uri):
        out += re.escape(literal)
        if variable:
            name, _, pattern = variable.partition("=")
            inner = re.escape(pattern or "*").replace(r"\*\*", ".+").replace(r"\*", "[^/:]+")
            out += f"(?P<{name.replace('.', '__')}>{inner})"
    return out


def read_message(kind: Any, request: Request, found: re.Match[str], body: str) -> Any:
    """The request's message: from the path, the query, and the body, which is all of it (`*`) or one field."""
    pure = kind.pb(kind()) if hasattr(kind, "pb") else kind()
    sent = json.loads(request.body or b"{}")
    values: dict[str, Any] = dict(sent) if body == "*" else {body: sent} if body else {}
    for name, value in request.query:
        if not name.startswith("$") and name not in ("alt", "key", "prettyPrint"):
            place(values, name.split("."), value, pure.DESCRIPTOR)
    for name, value in found.groupdict().items():
        place(values, name.split("__"), unquote(value), pure.DESCRIPTOR)
    json_format.ParseDict(values, pure, ignore_unknown_fields=False)
    return kind.wrap(pure) if hasattr(kind, "wrap") else pure


def place(values: dict[str, Any], steps: list[str], value: str, descriptor: Any) -> None:
    """Sets a field, by its dotted path, in the JSON of a message."""
    field_ = next((f for f in descriptor.fields if steps[0] in (f.name, f.json_name)), None)
    if field_ is None:
        raise ApiError(400, f'Invalid JSON payload received. Unknown name "{steps[0]}"')
    if len(steps) > 1:
        place(values.setdefault(field_.json_name, {}), steps[1:], value, field_.message_type)
        return
    repeated = field_.is_repeated if hasattr(field_, "is_repeated") else field_.label == field_.LABEL_REPEATED
    plain: Any = {"true": True, "false": False}.get(value.lower(), value) if field_.type == field_.TYPE_BOOL else value
    if repeated:
        values.setdefault(field_.json_name, []).append(plain)
    else:
        values.pop(field_.name, None)
        values[field_.json_name] = plain


def as_dict(message: Any, request: Request) -> dict[str, Any]:
    """A message as its JSON, enums by name or, as the Python clients ask for it, by number (`$alt=json;enum-encoding=int`)."""
    if message is None:
        return {}
    pure = type(message).pb(message) if hasattr(type(message), "pb") else message
    return json_format.MessageToDict(pure, use_integers_for_enums=("$alt", "json;enum-encoding=int") in request.query)
