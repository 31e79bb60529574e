"""The entry point of arr-vertex-launcher around a program in the agent's place.

The real agent against local servers is test_agent_vertex.py, and in the image Stack/arr-vertex-launcher/checks/ends.py. Here stands what a
server cannot bring about within seconds.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

ENTRY = Path(__file__).parents[2] / "Stack/arr-vertex-launcher/build/arr-agent"
DRIVER = "import sys, os; sys.path.insert(0, sys.argv[1]); from arr_agent.agent import main; sys.exit(main(sys.argv[3:], os.environ, sys.argv[2:3]))"


class Agent:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, script: str, **environment: str) -> subprocess.Popen[str]:
        """The entry point, with a shell script in the agent's place."""
        program = self.folder / "agent"
        program.write_text(f"#!/bin/bash\n{script}\n")
        program.chmod(0o755)
        return subprocess.Popen(
            [sys.executable, "-I", "-c", DRIVER, str(ENTRY), str(program), "--queue", "queue"],
            env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, script: str, **environment: str) -> tuple[int, str, str]:
        process = self.start(script, **environment)
        output, errors = process.communicate(timeout=30)
        return process.returncode, output, errors


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


def test_arguments_output_and_status_are_the_agents(agent: Agent) -> None:
    assert agent.run('echo "$@"; exit 7') == (7, "--queue queue\n", "")


def test_an_agent_stopped_from_the_page_ends_well(agent: Agent) -> None:
    assert agent.run("echo 'wandb: launch: Shutting down, active jobs:'")[0] == 0


def test_a_refused_poll_ends_an_agent_that_would_go_on(agent: Agent) -> None:
    status, output, errors = agent.run("echo 'Exception: unauthorized'; exec sleep 60")
    assert status == 1
    assert output == "Exception: unauthorized\n"
    assert "arr-agent: ended, because W&B does not accept the key: Exception: unauthorized; what to do: " in errors


def test_polls_that_fail_in_a_row_end_it_and_fewer_do_not(agent: Agent) -> None:
    failing = "for i in $(seq {}); do echo 'Exception: timed out'; done; sleep 0.2; exit 0"
    assert agent.run(failing.format(4), ARR_AGENT_POLLS="5")[0] == 0
    status, _, errors = agent.run(failing.format(5), ARR_AGENT_POLLS="5")
    assert status == 1
    assert "5 polls of the queue have failed, the last with: Exception: timed out" in errors


def test_a_failed_job_does_not_end_it(agent: Agent) -> None:
    assert agent.run("echo 'wandb: ERROR launch: Error running job: 404 not found'; exit 0")[0] == 0


def test_an_agent_that_ignores_the_request_to_end_is_killed(agent: Agent) -> None:
    started = time.monotonic()
    assert agent.run("trap '' TERM; echo 'Exception: forbidden'; while :; do sleep 0.1; done", ARR_AGENT_GRACE="1")[0] == 1
    assert time.monotonic() - started < 15


def test_a_signal_reaches_the_agent(agent: Agent) -> None:
    process = agent.start("echo started; exec sleep 60")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM


def test_a_signal_that_comes_at_once_reaches_it_too(agent: Agent) -> None:
    for _ in range(10):
        status, output, _ = agent.run("trap 'echo ended; exit 3' TERM; kill -TERM $PPID; for i in $(seq 50); do sleep 0.1; done")
        assert (status, output) == (3, "ended\n")


def test_a_setting_that_is_none_starts_no_agent(agent: Agent) -> None:
    status, output, errors = agent.run("echo started", ARR_AGENT_POLLS="many")
    assert (status, output) == (2, "")
    assert errors == "arr-agent: ARR_AGENT_POLLS is 'many': it takes a number, not below 0\n"


def test_without_wandb_the_status_is_a_shell_s(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    done = subprocess.run([tmp_path / "bare/bin/python", "-I", ENTRY], env={}, capture_output=True, text=True)
    assert done.returncode == 127
    assert "arr-agent: there is no module wandb" in done.stderr + done.stdout


def test_an_agent_that_does_not_end_on_a_signal_is_killed_within_ten_seconds(agent: Agent) -> None:
    process = agent.start("trap '' TERM; echo started; while :; do sleep 0.1; done")
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGKILL
    assert time.monotonic() - began < 10


def test_what_the_agent_leaves_running_does_not_hold_the_end_up(agent: Agent) -> None:
    began = time.monotonic()
    assert agent.run("sleep 60 & exit 3")[0] == 3
    assert time.monotonic() - began < 20


def test_a_secret_that_cannot_be_read_starts_no_agent(agent: Agent) -> None:
    name = "projects/p/secrets/wandb/versions/1"
    (agent.folder / "arr-secret").write_text('#!/bin/sh\necho "arr-secret: the secret $1 cannot be read: 403" >&2; exit 1\n')
    (agent.folder / "arr-secret").chmod(0o755)
    path = f"{agent.folder}{os.pathsep}{os.environ['PATH']}"
    status, output, errors = agent.run("echo started", ARR_AGENT_KEY_SECRET=name, PATH=path, WANDB_API_KEY="")
    assert (status, output) == (1, "")
    assert errors == f"arr-agent: ended, because the secret {name} cannot be read: 403\n"


def test_the_key_of_a_secret_reaches_the_agent(agent: Agent) -> None:
    (agent.folder / "arr-secret").write_text("#!/bin/sh\necho the-key\n")
    (agent.folder / "arr-secret").chmod(0o755)
    path = f"{agent.folder}{os.pathsep}{os.environ['PATH']}"
    name = "projects/p/secrets/wandb/versions/1"
    assert agent.run('echo "$WANDB_API_KEY"', ARR_AGENT_KEY_SECRET=name, PATH=path, WANDB_API_KEY="")[1] == "the-key\n"
