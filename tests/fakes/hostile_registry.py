"""A registry that answers whatever a test says, byte by byte: nonsense, nothing, or for ever."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

Answer = Callable[[str, socket.socket], None]
"""(the request with its headers, the connection): writes what it likes. The connection is closed behind it."""


def plain(body: bytes, status: str = "200 OK", *headers: str) -> Answer:
    """An ordinary answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    return lambda _, connection: connection.sendall(head + body)


def raw(data: bytes) -> Answer:
    """These bytes and no more."""
    return lambda _, connection: connection.sendall(data)


def dripping(before: bytes, drop: bytes, stop: threading.Event, seconds: float = 0.05) -> Answer:
    """Some bytes at once, then a little again and again, as long as somebody reads."""

    def answer(_: str, connection: socket.socket) -> None:
        connection.sendall(before)
        while not stop.wait(seconds):
            connection.sendall(drop)

    return answer


def endless(before: bytes, block: bytes, stop: threading.Event) -> Answer:
    """As many bytes as somebody reads."""

    def answer(_: str, connection: socket.socket) -> None:
        connection.sendall(before)
        while not stop.is_set():
            connection.sendall(block)

    return answer


class HostileRegistry:
    """Listens at HOST:PORT of this machine. `answers` maps the beginning of a path to an Answer, the longest wins."""

    def __init__(self, listener: socket.socket) -> None:
        self.host = f"127.0.0.1:{listener.getsockname()[1]}"
        self.listener = listener
        self.answers: dict[str, Answer] = {}
        self.requests: list[str] = []
        self.stop = threading.Event()

    def serve(self) -> None:
        while not self.stop.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(connection,), daemon=True).start()

    def one(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(30)
            request = b""
            while b"\r\n\r\n" not in request and (data := connection.recv(65536)):
                request += data
            text = request.decode("latin-1")
            self.requests.append(text)
            path = [*text.split(" "), "", ""][1]
            fitting = [begin for begin in self.answers if path.startswith(begin)]
            answer = (
                self.answers[max(fitting, key=len)] if fitting else plain(b'{"errors":[{"code":"UNKNOWN"}]}', "404 Not Found")
            )
            answer(text, connection)


@contextlib.contextmanager
def hostile_registry() -> Iterator[HostileRegistry]:
    """A registry that answers `404` until it is told better."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        registry = HostileRegistry(listener)
        thread = threading.Thread(target=registry.serve, daemon=True)
        thread.start()
        try:
            yield registry
        finally:
            registry.stop.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)
