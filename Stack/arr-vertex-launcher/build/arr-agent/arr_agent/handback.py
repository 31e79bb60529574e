"""The agent's end by a signal: what it took from a queue and has not handed to Vertex AI goes back there.

Jobs that run in Vertex AI need no agent to run on; they are left alone and named. wandb's own end would wait for a minute for each run that has
not begun to report, and fail its item.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wandb.sdk.launch.agent.agent import AGENT_KILLED, LaunchAgent

IN_FLIGHT = 3.0
"""Seconds for which a job that is just being handed to Vertex AI is waited for."""
LIMIT = 6.0
"""Seconds for all of the end: whoever stops a container kills it soon."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass
class Taken:
    """A job as it came from the queue, and what works on it."""

    spec: dict[str, Any]
    task: "asyncio.Task[Any] | None"


@dataclass
class HandBack:
    """Watches what an agent takes. `begun` are the ids of runs that were being handed to Vertex AI, `tell` is told in sentences."""

    begun: set[str]
    tell: Callable[[str], None]
    taken: dict[str, Taken] = field(default_factory=dict)
    leave: Callable[[int], None] = os._exit
    received: int = signal.SIGTERM

    def install(self) -> None:
        """Puts itself around the agent's loop and its jobs. Once for a process."""
        loop, run = LaunchAgent.loop, LaunchAgent.task_run_job

        async def task_run_job(agent: Any, launch_spec: Any, job: Any, *rest: Any, **named: Any) -> None:
            self.taken[job["runQueueItemId"]] = Taken(launch_spec, asyncio.current_task())
            try:
                await run(agent, launch_spec, job, *rest, **named)
            finally:
                self.taken.pop(job["runQueueItemId"], None)

        async def watched(agent: Any) -> None:
            work = asyncio.ensure_future(loop(agent))
            for each in SIGNALS:
                asyncio.get_running_loop().add_signal_handler(each, self.stop, work, each)
            try:
                await work
            except asyncio.CancelledError:
                await self.give_back(agent)
                # Not by the loop's own end: that waits for threads that wait for somebody else's server.
                self.leave(128 + self.received)

        LaunchAgent.task_run_job = task_run_job
        LaunchAgent.loop = watched

    def stop(self, work: "asyncio.Future[None]", received: int) -> None:
        self.received = received
        work.cancel()

    async def give_back(self, agent: Any) -> None:
        """Hands back what is not in Vertex AI, and says of the rest where it is."""

        async def nothing(*_: Any) -> None: ...

        agent.finish_thread_id = nothing  # its own would wait for each run, and fail its item
        try:
            await asyncio.wait_for(self.all(agent, dict(self.taken)), LIMIT)
        except asyncio.TimeoutError:
            self.tell(
                "W&B does not answer: what was not acknowledged comes back to the queue by itself, the rest shows as claimed"
            )

    async def all(self, agent: Any, held: Mapping[str, Taken]) -> None:
        await asyncio.gather(*(self.one(agent, item, taken) for item, taken in held.items()))
        await agent.update_status(AGENT_KILLED)
        await asyncio.to_thread(agent._wandb_run.finish)

    async def one(self, agent: Any, item: str, taken: Taken) -> None:
        tracker = agent._jobs.get(item)
        run_id = str(getattr(tracker, "run_id", None) or taken.spec.get("run_id") or "")
        handing = run_id in self.begun
        if handing and tracker is None:
            return  # the agent knows a job until its run has ended
        if taken.task and not handing:
            taken.task.cancel()
        for _ in range(int(IN_FLIGHT / 0.1)):
            if not handing or tracker.run is not None or (taken.task and taken.task.done()):
                break
            await asyncio.sleep(0.1)
        if tracker is not None and tracker.run is not None:
            if tracker.completed_status is None:
                self.tell(f"the run {run_id} goes on in Vertex AI: {tracker.run.get_page_link()}")
            return
        if handing:
            message = f"the agent was ended while the job was being handed to Vertex AI; whether it is there shows its label wandb-run-id={run_id}"
        else:
            again = {**taken.spec, "run_id": run_id} if run_id else taken.spec
            queue = tracker.queue if tracker is not None else agent._queues[0]
            await asyncio.to_thread(agent._api.push_to_run_queue, queue, again, None, agent._project)
            message = "the agent was ended before the job reached Vertex AI; the job is on its queue again"
        await agent.fail_run_queue_item(item, message, "agent")
        self.tell(f"item {item}: {message}")
