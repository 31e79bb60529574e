"""What an agent that is ended hands back."""

import asyncio
from types import SimpleNamespace
from typing import Any

from arr_agent.handback import HandBack, Taken


class Agent:
    """Of wandb's agent what the end asks."""

    def __init__(self, jobs: dict[str, Any]) -> None:
        self._jobs, self._queues, self._project = jobs, ["queue"], "model-registry"
        self.pushed: list[Any] = []
        self.failed: list[str] = []
        self._api = SimpleNamespace(push_to_run_queue=lambda *words: self.pushed.append(words))

    async def fail_run_queue_item(self, item: str, message: str, phase: str) -> None:
        self.failed.append(item)


def ended(agent: Agent, begun: set[str]) -> list[str]:
    said: list[str] = []
    hand = HandBack(begun, said.append)
    asyncio.run(hand.one(agent, "item", Taken({"run_id": "r"}, None)))
    return said


def test_a_job_whose_run_has_ended_is_not_handed_back() -> None:
    """The agent forgets it a moment before its task ends."""
    agent = Agent({})
    assert (ended(agent, {"r"}), agent.pushed, agent.failed) == ([], [], [])


def test_a_job_that_was_not_begun_is_on_its_queue_again() -> None:
    agent = Agent({})
    assert "on its queue again" in ended(agent, set())[0]
    assert [words[0] for words in agent.pushed] == ["queue"]
    assert agent.failed == ["item"]


def test_a_run_in_vertex_ai_goes_on() -> None:
    run = SimpleNamespace(get_page_link=lambda: "https://console/job")
    agent = Agent({"item": SimpleNamespace(run_id="r", run=run, completed_status=None, queue="queue")})
    assert ended(agent, {"r"}) == ["the run r goes on in Vertex AI: https://console/job"]
    assert (agent.pushed, agent.failed) == ([], [])
