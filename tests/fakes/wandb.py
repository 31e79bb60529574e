"""W&B on loopback: what the real client, the real `wandb launch-agent` and `launch_add` ask, answered as the server answers.

with WandbServer() as wandb:
    wandb.add_queue("gpus", resource_args={...})
    subprocess.run(["wandb", "launch-agent", ...], env=os.environ | wandb.environment)

Its operations are those of wandb 0.31: GraphQL by name on /graphql, a run's file stream, and uploads. It keeps queues, their items, agents and
runs. An item that was popped and is not acknowledged within `lease` seconds is on the queue again.
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.graphql import GraphqlServer

ENTITY, PROJECT = "team", "model-registry"
KEY = "0123456789abcdef0123456789abcdef01234567"
USER = {"id": "VXNlcjox", "name": "someone", "entity": ENTITY, "username": "someone", "email": "", "flags": "{}", "admin": False}


@dataclass
class Item:
    """One entry of a queue: PENDING, LEASED (popped), CLAIMED (acknowledged) or FAILED."""

    id: str
    queue: str
    spec: dict[str, Any]
    state: str = "PENDING"
    run: str | None = None
    error: str = ""
    stage: str = ""
    popped: float = 0.0


@dataclass
class Run:
    """A run as its client reported it: `rows` are what was logged, `files` what was uploaded, by name."""

    entity: str
    project: str
    name: str
    state: str = "running"
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    stopped: bool = False


class WandbServer(GraphqlServer):
    def __init__(self, lease: float = 60.0) -> None:
        super().__init__()
        self.lease = lease
        self.queues: dict[str, dict[str, Any]] = {}
        self.items: dict[str, Item] = {}
        self.runs: dict[str, Run] = {}
        self.starts: dict[str, int] = {}
        """How often a client began or resumed a run."""
        self.agents: dict[str, dict[str, Any]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to come here, and to send nothing elsewhere."""
        return {"WANDB_BASE_URL": self.address, "WANDB_API_KEY": KEY, "WANDB_ERROR_REPORTING": "false"}

    def add_queue(self, name: str, **config: Any) -> None:
        """A queue for Vertex AI, or another `resource`, with its defaults: what a run's specification does not say is taken from there."""
        self.queues[name] = {"resource": "gcp-vertex", **config}

    def push(self, queue: str, spec: Mapping[str, Any]) -> Item:
        with self.lock:
            item = Item(f"item-{len(self.items) + 1}", queue, {**self.queues[queue], **{k: v for k, v in spec.items() if v}})
            self.items[item.id] = item
        return item

    def pending(self, queue: str) -> list[Item]:
        now = time.monotonic()
        lost = [each for each in self.items.values() if each.state == "LEASED" and now - each.popped > self.lease]
        for each in lost:
            each.state = "PENDING"
        return [each for each in self.items.values() if each.queue == queue and each.state == "PENDING"]

    # -- GraphQL

    def do_Viewer(self, _: dict[str, Any]) -> Any:  # noqa: N802
        teams = {"edges": [{"node": {"name": ENTITY}}]}
        return {"viewer": {**USER, "teams": teams, "apiKeys": {"edges": []}}}

    def do_OrganizationCoreWeaveOrganizationID(self, _: dict[str, Any]) -> Any:  # noqa: N802
        return {"entity": None}

    do_GetDefaultEntity = do_Viewer  # noqa: N815

    def do_ServerFeaturesQuery(self, _: dict[str, Any]) -> Any:  # noqa: N802
        return {"serverInfo": {"features": []}}

    def do_ProjectRunQueues(self, _: dict[str, Any]) -> Any:  # noqa: N802
        queues = [{"id": f"Q-{name}", "name": name, "createdBy": "1", "access": "PROJECT"} for name in self.queues]
        return {"project": {"runQueues": queues}}

    def do_GetRunQueueMetadata(self, given: dict[str, Any]) -> Any:  # noqa: N802
        about = {"access": "PROJECT", "prioritizationMode": "DISABLED", "externalLinks": {}}
        return {"project": {"runQueue": {"id": "Q", "defaultResourceConfigID": given["runQueue"], **about}}}

    def do_GetDefaultResourceConfig(self, given: dict[str, Any]) -> Any:  # noqa: N802
        config = {"config": {}, "resource": self.queues[given["id"]]["resource"], "templateVariables": []}
        return {"entity": {"defaultResourceConfig": config}}

    def do_EntityIsTeam(self, _: dict[str, Any]) -> Any:  # noqa: N802
        return {"entity": {"id": "RW50aXR5OjE=", "isTeam": False}}

    def do_createLaunchAgent(self, given: dict[str, Any]) -> Any:  # noqa: N802
        name, queues = f"agent-{len(self.agents) + 1}", [each.removeprefix("Q-") for each in given["queues"]]
        agent = {"id": f"A-{name}", "name": name, "runQueues": queues, "hostname": given.get("hostname", ""), "heartbeatAt": ""}
        self.agents[agent["id"]] = {**agent, "agentStatus": "POLLING", "stopPolling": False}
        return {"createLaunchAgent": {"launchAgentId": agent["id"]}}

    def do_LaunchAgent(self, given: dict[str, Any]) -> Any:  # noqa: N802
        return {"launchAgent": self.agents[given["agentId"]]}

    def do_updateLaunchAgent(self, given: dict[str, Any]) -> Any:  # noqa: N802
        self.agents[given["agentId"]]["agentStatus"] = given["agentStatus"]
        return {"updateLaunchAgent": {"success": True}}

    def do_pushToRunQueueByName(self, given: dict[str, Any]) -> Any:  # noqa: N802
        if given["queueName"] not in self.queues:
            raise LookupError(f"run queue {given['queueName']} not found")
        item = self.push(given["queueName"], json.loads(given["runSpec"]))
        return {"pushToRunQueueByName": {"runQueueItemId": item.id, "runSpec": json.dumps(item.spec)}}

    def do_popFromRunQueue(self, given: dict[str, Any]) -> Any:  # noqa: N802
        if given["queueName"] not in self.queues:
            raise LookupError(f"run queue {given['queueName']} not found")
        waiting = self.pending(given["queueName"])
        if not waiting:
            return {"popFromRunQueue": None}
        item = waiting[0]
        item.state, item.popped = "LEASED", time.monotonic()
        return {"popFromRunQueue": {"runQueueItemId": item.id, "runSpec": item.spec}}

    def do_ackRunQueueItem(self, given: dict[str, Any]) -> Any:  # noqa: N802
        item = self.items[given["itemId"]]
        item.state, item.run = "CLAIMED", given["runId"]
        return {"ackRunQueueItem": {"success": True}}

    def do_failRunQueueItem(self, given: dict[str, Any]) -> Any:  # noqa: N802
        item = self.items[given["runQueueItemId"]]
        item.state, item.error, item.stage = "FAILED", given["message"], given["stage"]
        return {"failRunQueueItem": {"success": True}}

    def do_GetRunQueueItem(self, given: dict[str, Any]) -> Any:  # noqa: N802
        item = self.items.get(given["itemId"])
        told = {"id": item.id, "state": item.state, "associatedRunId": item.run} if item else None
        return {"project": {"runQueue": {"runQueueItem": told}}}

    # -- runs

    def run_of(self, given: dict[str, Any]) -> Run | None:
        return self.runs.get(str(given.get("name") or given.get("runId") or given.get("run") or ""))

    def form(self, run: Run) -> dict[str, Any]:
        project = {"id": "UHJvamVjdDox", "name": run.project, "entity": {"id": "RW50aXR5OjE=", "name": run.entity}}
        return {
            "id": f"R-{run.name}", "name": run.name, "displayName": run.name, "description": "", "sweepName": None, "project": project,
            "config": json.dumps(run.config), "historyLineCount": len(run.rows), "state": run.state, "stopped": run.stopped,
            "summaryMetrics": "{}", "wandbConfig": "{}", "eventsLineCount": 0, "logLineCount": 0, "tags": [], "writeup": None,
        }  # fmt: skip

    def do_UpsertBucket(self, given: dict[str, Any]) -> Any:  # noqa: N802
        name = str(given["name"])
        inserted = name not in self.runs
        run = self.runs.setdefault(name, Run(given.get("entity") or ENTITY, given.get("project") or PROJECT, name))
        run.state = "running"
        if given.get("config"):
            run.config = {key: value["value"] for key, value in json.loads(given["config"]).items()}
        return {"upsertBucket": {"bucket": self.form(run), "inserted": inserted}}

    def do_RunResumeStatus(self, given: dict[str, Any]) -> Any:  # noqa: N802
        run = self.run_of(given)
        self.starts[str(given["name"])] = self.starts.get(str(given["name"]), 0) + 1
        if run is None:
            return {"model": {"bucket": None}}
        tail = json.dumps([json.dumps(run.rows[-1])] if run.rows else [])
        config = json.dumps({key: {"value": value} for key, value in run.config.items()})
        more = {"historyTail": tail, "eventsTail": "[]", "summaryMetrics": "{}", "config": config}
        more["wandbConfig"] = '{"t": 1}'  # without it a client takes the run for one that never began
        return {
            "model": {"id": "M", "name": run.project, "entity": {"id": "E", "name": run.entity}, "bucket": self.form(run) | more}
        }

    def do_RunState(self, given: dict[str, Any]) -> Any:  # noqa: N802
        run = self.run_of(given)
        return {"project": {"run": {"state": run.state} if run else None}}

    def do_RunStoppedStatus(self, given: dict[str, Any]) -> Any:  # noqa: N802
        run = self.run_of(given)
        return {"project": {"run": {"stopped": run.stopped} if run else None}}

    def do_CreateRunFiles(self, given: dict[str, Any]) -> Any:  # noqa: N802
        files = [{"name": each, "uploadUrl": f"{self.address}/upload/{given['run']}/{each}"} for each in given["files"]]
        return {"createRunFiles": {"runID": f"R-{given['run']}", "uploadHeaders": [], "files": files}}

    def other(self, path: str, body: bytes) -> "dict[str, Any] | None":
        if found := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", path):
            self.stream(found[1], json.loads(body or b"{}"))
            return {"exitcode": None, "limits": {}}
        if found := re.fullmatch(r"/upload/([^/]+)/(.+)", path):
            if run := self.runs.get(found[1]):  # the agent's files are of an item, and of no run
                run.files[found[2]] = body
            return {}
        return {} if path.startswith("/sdk/otel/") else None

    def stream(self, name: str, sent: dict[str, Any]) -> None:
        """What a run's file stream brings: rows of its history, and its end."""
        with self.lock:
            run = self.runs[name]
            for file, chunk in (sent.get("files") or {}).items():
                if "history" in file:
                    del run.rows[chunk["offset"] :]
                    run.rows += [json.loads(line) for line in chunk["content"]]
            if sent.get("complete"):
                run.state = "finished" if sent.get("exitcode") == 0 else "crashed"
