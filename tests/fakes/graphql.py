"""A GraphQL server on loopback whose operations are methods: `do_Viewer(variables)` answers `query Viewer`."""

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fakes.google.server import read_body

OPERATION = re.compile(r"(?:query|mutation)\s+(\w+)")


@dataclass
class Fault:
    """What an operation whose name the expression matches is answered with. A status of 0 is GraphQL's own kind of error: 200, with the
    message among `errors`."""

    operation: str
    status: int = 0
    message: str = "a fault on demand"
    times: int = 10**6


class GraphqlServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults: list[Fault] = []
        self.asked: list[str] = []
        self.unknown: list[str] = []
        """Operations and paths that no answer is written for: a client that asks more than this server knows."""
        self.lock = threading.RLock()

    def __enter__(self) -> "Any":
        threading.Thread(target=lambda: self.serve_forever(poll_interval=0.05), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, operation: str, variables: dict[str, Any]) -> Any:
        """The data of an operation. Raises LookupError for what the server would refuse."""
        with self.lock:
            known: Callable[[dict[str, Any]], Any] | None = getattr(self, f"do_{operation}", None)
            if known is None:
                self.unknown.append(operation)
                return {}
            return known(variables)

    def other(self, path: str, body: bytes) -> "dict[str, Any] | None":
        """The answer to a request of another path; None for one that is not known."""
        return None


class Handler(BaseHTTPRequestHandler):
    server: GraphqlServer
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        body = read_body(self)
        if self.path == "/graphql":
            self.graphql(json.loads(body))
        elif (answered := self.server.other(self.path, body)) is not None:
            self.send(200, answered)
        else:
            self.server.unknown.append(f"{self.command} {self.path}")
            self.send(404, {"error": "not found"})

    do_GET = do_POST = do_PUT = handle_any  # noqa: N815

    def graphql(self, sent: dict[str, Any]) -> None:
        found = OPERATION.search(sent["query"])
        operation = found[1] if found else ""
        self.server.asked.append(operation)
        for fault in self.server.faults:
            if fault.times and re.fullmatch(fault.operation, operation):
                fault.times -= 1
                errors = {"errors": [{"message": fault.message}]}
                return self.send(fault.status or 200, errors if fault.status else {**errors, "data": None})
        try:
            answered = self.server.answer(operation, sent.get("variables") or {})
        except LookupError as error:
            return self.send(200, {"data": None, "errors": [{"message": str(error.args[0])}]})
        return self.send(200, {"data": answered})

    def send(self, status: int, body: Mapping[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # who asked is gone
            self.close_connection = True

    def log_message(self, *_: object) -> None: ...
