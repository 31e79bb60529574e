"""The real agent behind its entry point, against a local server: what is fatal ends the container with a status.

refused    the server answers 401 to everything
revoked    the server lets the agent start, and answers its polls of the queue with 401
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# The answers that the agent needs to come up, by the name of the GraphQL operation.
VIEWER = {"id": "VXNlcjox", "entity": "team", "username": "someone", "email": "", "flags": "{}", "admin": False}
VIEWER |= {"teams": {"edges": [{"node": {"name": "team"}}]}, "apiKeys": {"edges": []}}
RUN = {
    "id": "UnVuOjE=", "name": "agent", "displayName": "agent", "description": "", "config": "{}", "sweepName": None,
    "project": {"id": "UHJvamVjdDox", "name": "model-registry", "entity": {"id": "RW50aXR5OjE=", "name": "team"}}, "historyLineCount": 0,
}  # fmt: skip
ANSWERS = {
    "Viewer": {"viewer": VIEWER},
    "ProjectRunQueues": {"project": {"runQueues": [{"id": "UTox", "name": "queue", "createdBy": "1", "access": "PROJECT"}]}},
    "createLaunchAgent": {"createLaunchAgent": {"launchAgentId": "QTox"}},
    "EntityIsTeam": {"entity": {"isTeam": False}},
    "LaunchAgent": {"launchAgent": {"id": "QTox", "name": "agent", "runQueues": ["queue"], "hostname": "h", "agentStatus": "POLLING", "stopPolling": False, "heartbeatAt": ""}},
    "UpsertBucket": {"upsertBucket": {"bucket": RUN, "inserted": True}},
    "updateLaunchAgent": {"updateLaunchAgent": {"success": True}},
}  # fmt: skip


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, refuses: "set[str]") -> None:
        """refuses: operations that are answered with 401; `*` is all of them."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.refuses, self.asked = refuses, []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        found = re.search(rb"(?:query|mutation) +(\w+)", body)
        operation = found.group(1).decode() if found else self.path
        self.server.asked.append(operation)
        if {"*", operation} & self.server.refuses:
            self.answer(401, {"errors": [{"message": "unauthorized"}]})
        else:
            self.answer(200, {"data": ANSWERS.get(operation, {})})

    do_GET = do_PUT = do_POST

    def answer(self, status: int, body: "dict[str, object]") -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


def agent(server: Server) -> "tuple[int, str, float]":
    """The entry point's status, its output, and how long it ran, in seconds."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {
            "HOME": home, "WANDB_DIR": home, "WANDB_API_KEY": "0" * 40,
            "WANDB_BASE_URL": f"http://127.0.0.1:{server.server_port}", "WANDB_ERROR_REPORTING": "false",
        }  # fmt: skip
        command = ["arr-agent", "--queue", "queue", "--entity", "team"]
        try:
            done = subprocess.run(
                command, env=environment, cwd=home, timeout=150, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        except subprocess.TimeoutExpired as error:
            sys.exit(f"the agent did not end within {error.timeout:.0f} s; it asked for {server.asked} and said: {error.output}")
    return done.returncode, done.stdout, time.monotonic() - started


def expect(case: str, server: Server, says: str) -> None:
    status, output, seconds = agent(server)
    if status == 0 or says not in output:
        sys.exit(f"{case}: status {status}, not another than 0 with '{says}'; it asked for {server.asked} and said:\n{output}")
    print(f"{case}: status {status} after {seconds:.0f} s")


def main() -> None:
    expect("refused at the start", Server({"*"}), "W&B does not accept the key")
    expect("revoked later", revoked := Server({"popFromRunQueue"}), "W&B does not accept the key")
    if "popFromRunQueue" not in revoked.asked:
        sys.exit(f"the agent never polled its queue: {revoked.asked}")


if __name__ == "__main__":
    main()
