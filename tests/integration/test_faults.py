"""A launch of the small stack that is killed or interrupted at each of its stages, and the one after it."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from arrstack.model import State
from arrstack.registry import OciDirectory
from tests.conftest import ROOT
from tests.contract.conftest import eventually, processes_with
from tests.tools.dockerd import NoDaemon, dockerd

# Four launches in one test, the first of them with base images; the machine may be busy.
pytestmark = pytest.mark.timeout(1200)

SLOW_FILES = 4
# Seconds of a compiler's work that no cache of the compiler has seen: WORD is another for each stack.
SLOW = """#include <map>
#include <regex>
#include <string>
extern "C" int WORD_NUMBER(const char *text) {
  std::map<std::string, std::regex> found{{"WORD", std::regex("a|NUMBER")}};
  return std::regex_match(text, found.begin()->second);
}
"""


@dataclass(frozen=True)
class Site:
    """A copy of the example that compiles for some seconds, with a state and a registry of its own.

    `word` stands in the names of its slow sources, so in the command lines of its compilers.
    """

    folder: Path
    engine: str
    environment: dict[str, str]
    word: str

    @property
    def registry(self) -> OciDirectory:
        return OciDirectory(self.folder / "data/arrstack/registry")

    @property
    def command(self) -> list[str]:
        stack = str(self.folder / "tree/stack.toml")
        return [sys.executable, "-m", "arrstack", "--stack", stack, "--engine", self.engine, "launch", "--jobs", "1", "--json"]

    @contextlib.contextmanager
    def launching(self, **more: str) -> Iterator["subprocess.Popen[str]"]:
        with (self.folder / "errors").open("w") as errors:
            process = subprocess.Popen(
                self.command,
                env=self.environment | more,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                errors="replace",
            )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def finished(self) -> str:
        """A launch to its end: what it printed."""
        done = subprocess.run(self.command, env=self.environment, capture_output=True, text=True, errors="replace", timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stopped(self, kind: signal.Signals, expression: str, **more: str) -> str:
        """A launch that gets a signal when it prints an event; what it printed. Then nothing of it may be left."""
        seen = []
        with self.launching(**more) as process:
            assert process.stdout is not None
            for line in process.stdout:
                seen.append(line)
                if re.search(expression, line):
                    process.send_signal(kind)
                    break
            else:
                raise AssertionError(f"it ended without {expression}:\n{''.join(seen)}{(self.folder / 'errors').read_text()}")
            status = process.wait(60)
        if kind is signal.SIGINT:
            assert status == 130
            assert "interrupted" in (self.folder / "errors").read_text()
        else:
            assert status == -kind
        assert eventually(lambda: not self.processes()), self.processes()
        assert not [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(self.folder.parent) in line]
        return "".join(seen)

    def processes(self) -> list[str]:
        return [line for name in (self.word, str(self.folder)) for line in processes_with(name)]

    def tags(self, tier: str) -> list[str]:
        """The kinds of a tier's tags; each of them must name an image that is all there."""
        tags = self.registry.tags(tier)
        assert [self.registry.lookup(tier, tag).state for tag in tags] == [State.PRESENT] * len(tags)
        return sorted(tag.rpartition("-")[0] or tag for tag in tags)


def compiled(text: str) -> list[tuple[int, int]]:
    """ninja's edges in a launch's events: (number, of how many)."""
    events = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [tuple(event["edges"]) for event in events if "edges" in event]


@pytest.fixture(params=["buildah", "docker"])
def site(request: pytest.FixtureRequest, tmp_path: Path, shared_cache: Path, downloads: Path) -> Iterator[Site]:
    folder, word = tmp_path / "site", f"slow{uuid.uuid4().hex[:8]}"
    shutil.copytree(ROOT / "examples/small", folder / "tree")
    for number in range(SLOW_FILES):
        source = SLOW.replace("WORD", word).replace("NUMBER", str(number))
        (folder / f"tree/shapes/src/{word}_{number}.cpp").write_text(source)
    with (folder / "tree/tools/Dockerfile").open("a") as recipe:
        recipe.write("RUN echo in the upper tier && sleep 2\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ARRSTACK_")}
    environment |= {"XDG_STATE_HOME": str(folder / "state"), "XDG_DATA_HOME": str(folder / "data")}
    environment |= {"XDG_CACHE_HOME": str(shared_cache), "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}
    if request.param == "buildah":
        yield Site(folder, "buildah", environment, word)
        return
    if os.geteuid():
        pytest.skip("a Docker daemon for tests needs root")
    with contextlib.ExitStack() as stack:
        try:
            daemon = stack.enter_context(dockerd(downloads))
        except NoDaemon as error:
            pytest.skip(f"no Docker daemon starts here: {error}")
        yield Site(folder, "docker", environment | daemon, word)


def slow_push(site: Site) -> dict[str, str]:
    """A PATH on which skopeo, once it has sent the second tier's image, says so and takes its time to end."""
    programs = site.folder / "programs"
    programs.mkdir()
    (programs / "skopeo").write_text(
        f'#!/bin/bash\n{shutil.which("skopeo")} "$@" || exit\n'
        f'[[ "${{@: -1}}" == *small-tools:key-* ]] && touch {site.folder}/sent && exec sleep 60\nexit 0\n'
    )
    (programs / "skopeo").chmod(0o755)
    return {"PATH": f"{programs}:{site.environment['PATH']}"}


@pytest.mark.parametrize(
    ("site", "kind"),
    [("buildah", signal.SIGKILL), ("buildah", signal.SIGINT), ("docker", signal.SIGKILL), ("docker", signal.SIGINT)],
    indirect=["site"],
    ids=["buildah-SIGKILL", "buildah-SIGINT", "docker-SIGKILL", "docker-SIGINT"],
)
def test_a_launch_that_ends_early_leaves_nothing_and_the_next_goes_on(site: Site, kind: signal.Signals) -> None:
    # While it compiles: nothing is published, and what was compiled is not compiled again.
    before = site.stopped(kind, r'"edges": \[3, ')
    every = compiled(before)[-1][1]
    assert every == SLOW_FILES + 5, "four files and the link beside the slow ones"
    assert site.tags("small-base") == []

    # While the second tier is built: the wheel and the first tier are published, the second is not.
    after = site.stopped(kind, '"text": "in the upper tier"')
    assert compiled(after)[0][1] <= every - 2, "finished edges were compiled again"
    assert site.tags("small-base") == ["key", "shapes-wheel"]
    assert site.tags("small-tools") == []

    # While the second tier is sent: all of its bytes may be there, its tag is not.
    with site.launching(**slow_push(site)) as process:
        assert eventually((site.folder / "sent").exists, 120), (site.folder / "errors").read_text()
        process.send_signal(kind)
        process.wait(60)
    assert eventually(lambda: not site.processes()), site.processes()
    assert site.tags("small-tools") == []

    # Then to its end: the first tier was reused, and tags moved last.
    told = site.finished()
    assert [event["step"] for event in map(json.loads, told.splitlines()) if event["text"] == "reused"] == ["small-base"]
    assert not compiled(told)
    for tier in ("small-base", "small-tools", "small-app", "small-agent"):
        assert "latest" in site.tags(tier)
    assert not list((site.folder / "data/arrstack/registry").glob(".incoming-*"))


@pytest.mark.parametrize("site", ["buildah"], indirect=True)
def test_a_launch_that_is_killed_while_it_makes_a_base_leaves_nothing_running(site: Site, tmp_path: Path) -> None:
    cache, scratch = tmp_path / "cache", tmp_path / "scratch"
    scratch.mkdir()
    with site.launching(XDG_CACHE_HOME=str(cache), TMPDIR=str(scratch)) as process:
        assert eventually(lambda: bool(list(scratch.glob("mmdebstrap*/var/cache/apt/archives/*.deb"))), 120)
        process.kill()
        # It ends what apt is about to do first: a minute and more on a slow machine.
        assert eventually(lambda: not processes_with(str(tmp_path)), 300), processes_with(str(tmp_path))
    assert eventually(lambda: not list(scratch.glob("mmdebstrap*/var")), 60), "its root file system is still there"
    assert not [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(tmp_path) in line]


@pytest.mark.parametrize("site", ["buildah"], indirect=True)
def test_what_is_edited_while_a_launch_runs_is_not_published_under_the_old_key(site: Site) -> None:
    tools = site.folder / "tree/tools/tools.py"
    with site.launching() as process:
        assert process.stdout is not None
        for line in process.stdout:
            if '"edges": [1, ' in line:
                tools.write_text(tools.read_text() + "# edited while the tier below compiled\n")
                break
        process.stdout.read()
        assert process.wait(300) == 2
    assert "tools.py was changed while the launch ran" in (site.folder / "errors").read_text()
    assert site.tags("small-base") == ["key", "shapes-wheel"]
    assert site.tags("small-tools") == []
    assert [event["step"] for event in map(json.loads, site.finished().splitlines()) if event["text"] == "reused"] == [
        "small-base"
    ]


@pytest.mark.parametrize("site", ["buildah"], indirect=True)
def test_a_second_launch_at_the_same_time_is_refused_and_the_first_goes_on(site: Site) -> None:
    with site.launching() as first:
        assert first.stdout is not None
        for line in first.stdout:
            if '"edges": [1, ' in line:
                break
        second = subprocess.run(site.command, env=site.environment, capture_output=True, text=True, timeout=120)
        assert second.returncode == 5
        assert f"process {first.pid}" in second.stderr
        assert first.poll() is None
    assert eventually(lambda: not site.processes()), site.processes()


PAUSE = """
import time
from arrstack.registry.layout import Layout
write = Layout.write_index
def paused(self, entries):
    if "small-app:latest" in entries:
        print("in the move", flush=True)
        time.sleep(60)
    write(self, entries)
Layout.write_index = paused
"""
"""A sitecustomize that stops in the move of a tag, with the registry's lock held and the tags of two tiers moved."""


@pytest.mark.parametrize("site", ["buildah"], indirect=True)
def test_a_launch_that_ends_while_it_moves_tags_leaves_whole_images_and_the_next_moves_the_rest(site: Site) -> None:
    (site.folder / "pause").mkdir()
    (site.folder / "pause/sitecustomize.py").write_text(PAUSE)
    paused = {"PYTHONPATH": f"{site.folder}/pause:{site.environment['PYTHONPATH']}"}
    tiers = ["small-base", "small-tools", "small-app", "small-agent"]
    for kind in (signal.SIGKILL, signal.SIGINT):
        site.stopped(kind, "in the move", **paused)
        assert ["latest" in site.tags(tier) for tier in tiers] == [True, True, False, False]
    assert [tier["action"] for tier in json.loads(site.finished())["tiers"]] == ["reuse"] * 4
    assert all("latest" in site.tags(tier) for tier in tiers)


@pytest.mark.parametrize("site", ["buildah"], indirect=True)
def test_tags_that_a_killed_launch_did_not_move_are_moved_by_the_next(site: Site) -> None:
    site.finished()
    site.registry.delete_tag("small-agent", "latest")
    assert "latest" not in site.tags("small-agent")
    site.finished()
    assert "latest" in site.tags("small-agent")
    plan = subprocess.run(
        [*site.command[:-4], "plan", "--json"], env=site.environment, capture_output=True, text=True, check=True
    ).stdout
    assert [tier["action"] for tier in json.loads(plan)["tiers"]] == ["reuse"] * 4
