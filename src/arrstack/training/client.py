"""A program: puts a job on a queue of W&B Launch and says what becomes of it. `queue` starts it; here alone wandb is imported.

Reads one JSON object from standard input (`Order`), prints one JSON object a line, each with `event`: `submitted` (item, run, url), `state` (state),
`error` (error, hint). wandb's own words go to standard error. Exit status 0 where the run finished or was not followed, 1 where it failed, 3 where W&B
refused or could not be asked.
"""

import json
import sys
import time
from typing import Any

QUEUES = "model-registry"
"""The project that W&B keeps every queue in (wandb 0.31, LAUNCH_DEFAULT_PROJECT)."""
VERTEX = ("gcp-vertex", "vertex")
"""What W&B calls the resource of a queue whose jobs run in Vertex AI."""
WAITING = {"pending": "queued", "leased": "taken by an agent", "claimed": "being started"}
REFUSED = 3


def say(event: str, **more: object) -> None:
    print(json.dumps({"event": event, **more}), flush=True)


def fail(error: str, hint: str) -> int:
    say("error", error=error, hint=hint)
    return REFUSED


def main() -> int:
    order = json.load(sys.stdin)
    import wandb
    from wandb.errors import Error
    from wandb.sdk.launch.api import LaunchApi

    try:
        api = LaunchApi()
        entity = order["entity"] or api.default_entity
        queues = [each["name"] for each in api.get_project_run_queues(entity, QUEUES)]
    except (Error, ValueError) as error:  # a server of another kind answers what is no answer
        return fail(
            f"W&B cannot be asked for its queues: {first(error)}",
            "set WANDB_API_KEY, or `wandb login`; compare --entity with your team's name",
        )
    if order["queue"] not in queues:
        return fail(
            f"{entity} has no queue '{order['queue']}'",
            f"its queues: {', '.join(queues) or 'none'}; the Launch page of W&B makes one",
        )
    try:
        if (kind := api.run_queue(entity=entity, name=order["queue"]).type) not in VERTEX:
            return fail(
                f"the queue {order['queue']} starts jobs by {kind}, not in Vertex AI", "name another with --queue, or make one"
            )
        item = push(order, entity)
    except Error as error:
        return fail(
            f"the job could not be put on the queue {order['queue']}: {first(error)}",
            "see the queue's page: may you add jobs, and may they bring a configuration?",
        )
    url = f"{wandb.setup().settings.app_url}/{entity}/{order['project']}/runs/{order['run']}"
    say("submitted", item=item.id, run=order["run"], url=url, entity=entity)
    return follow(api, item, entity, order) if order["follow"] else 0


def first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def push(order: dict[str, Any], entity: str) -> Any:
    from wandb.sdk.launch import launch_add

    return launch_add(
        docker_image=order["image"],
        entity=entity,
        project=order["project"],
        queue_name=order["queue"],
        name=order["name"],
        run_id=order["run"],
        resource_args=order["resource_args"],
    )


def follow(api: Any, item: Any, entity: str, order: dict[str, Any]) -> int:
    """Says each new state until the run has ended."""
    told, since = "", time.monotonic()
    while True:
        state = now(api, item, entity, order)
        if state != told:
            say("state", state=state)
            told, since = state, time.monotonic()
        lasting = not order["spot"] or time.monotonic() - since > order["mends_itself"]
        if state in ("finished", "killed", "refused") or (state in ("failed", "crashed") and lasting):
            return 0 if state == "finished" else 1
        time.sleep(order["poll"])


def now(api: Any, item: Any, entity: str, order: dict[str, Any]) -> str:
    """The state of the run, or of its item while there is no run yet. An error of the network is no new state."""
    from wandb.errors import Error

    try:
        return str(api.get_run_state(entity, order["project"], order["run"])).lower()
    except Error:  # there is none yet
        pass
    try:
        state = str(item.state)
    except (Error, ValueError) as error:
        return f"not known: {first(error)}"
    return "refused" if state == "failed" else WAITING.get(state, state)


if __name__ == "__main__":
    sys.exit(main())
