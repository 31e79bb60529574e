"""A step that is stopped before an instruction: which one, what it sees, and that nothing is published on the way."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from arrstack.errors import ConfigError
from arrstack.launch.stopping import STOPPED, Reached, Stopping, cut_before
from arrstack.machine.process import Outcome
from arrstack.model import BuildStep
from arrstack.recipes.config import Bootstrap, LoadedStack, Pull
from arrstack.recipes.dockerfile import Dockerfile
from arrstack.recipes.tiers import read
from tests.fakes.builder import FakeBuilder
from tests.fakes.registry import MemoryRegistry

TEXT = """ARG BASE
FROM ${BASE} AS builder
ARG KEY=by-hand
ARG LATE
RUN echo first
RUN --mount=type=cache,id=arrstack-x-${KEY},target=/opt/x \\
    --mount=type=cache,target=/ccache \\
    /build/build.sh \\
    --all
ARG AFTER=1
FROM scratch AS torch-wheel
COPY --from=builder /w /
FROM ${BASE}
COPY --from=torch-wheel / /
RUN ["echo", "a b"]
"""


@pytest.fixture
def recipe(write_stack: Callable[..., LoadedStack]) -> Dockerfile:
    return read(write_stack({"one": TEXT}), {})[0].dockerfile


def test_without_a_failure_it_is_the_last_run_of_what_is_built(recipe: Dockerfile) -> None:
    assert cut_before(recipe, "").instruction.line == 15
    cut = cut_before(recipe, "torch-wheel")
    assert (cut.stage.name, cut.instruction.line) == ("builder", 6)
    assert cut.text.endswith("RUN echo first\n")


@pytest.mark.parametrize(
    ("failed", "line"),
    [
        ("RUN echo first", 5),
        ("/bin/sh -c echo first", 5),
        ("/bin/sh -c /build/build.sh     --all", 6),
        ("RUN --mount=type=cache,id=arrstack-x-${KEY},target=/opt/x --mount=type=cache,target=/ccache /build/build.sh --all", 6),
        ("something else", 6),
    ],
)
def test_it_is_the_run_that_the_engine_named(recipe: Dockerfile, failed: str, line: int) -> None:
    assert cut_before(recipe, "torch-wheel", failed).instruction.line == line


def test_any_instruction_may_be_chosen_by_its_line_and_others_are_named(recipe: Dockerfile) -> None:
    assert cut_before(recipe, "", line=12).text.endswith("FROM scratch AS torch-wheel\n")
    with pytest.raises(ConfigError, match="no instruction to stop before at line 99") as told:
        cut_before(recipe, "", line=99)
    assert "5, 6" in told.value.hint


def test_the_shell_sees_the_arguments_and_cache_mounts_of_the_command(recipe: Dockerfile) -> None:
    cut = cut_before(recipe, "torch-wheel")
    assert cut.variables({"KEY": "abc", "OTHER": "x"}) == {"KEY": "abc", "LATE": ""}
    assert cut.cache_mounts({"KEY": "abc"}) == {"arrstack-x-abc": "/opt/x", "/ccache": "/ccache"}


def test_a_step_is_built_as_far_as_that_and_no_further(recipe: Dockerfile, tmp_path: Path) -> None:
    inner = FakeBuilder(MemoryRegistry())
    stopping = Stopping(inner, "one/torch", cut_before(recipe, "torch-wheel"))
    (tmp_path / "Dockerfile").write_text(TEXT)
    (tmp_path / "context").mkdir()
    args = {"BASE": inner.base(Pull(image="debian:trixie"), "now") or "", "KEY": "k"}
    step = BuildStep("one/torch", tmp_path / "context", tmp_path / "Dockerfile", args, "torch-wheel")
    with pytest.raises(Reached) as reached:
        list(stopping.build(step, "localhost/arrstack/one:t", BytesIO()))
    assert reached.value.reference.startswith(STOPPED)
    assert reached.value.command().split() == ["/build/build.sh", "--all"]
    assert reached.value.given["KEY"] == "k"
    assert (tmp_path / "Dockerfile").read_text().endswith("RUN echo first\n")


def test_what_comes_after_the_step_is_neither_built_nor_published(recipe: Dockerfile, tmp_path: Path) -> None:
    stopping = Stopping(FakeBuilder(MemoryRegistry()), "one/stage", cut_before(recipe, "builder"))
    with pytest.raises(ConfigError, match="one/stage is finished"):
        list(stopping.build(BuildStep("one", tmp_path, tmp_path / "Dockerfile", {}), "r", BytesIO()))
    with pytest.raises(ConfigError, match="one/stage is finished"):
        stopping.publish("r", "one", "t")


def test_all_else_is_the_inner_builder_s(recipe: Dockerfile) -> None:
    inner, pull, bootstrap = FakeBuilder(MemoryRegistry()), Pull(image="debian:trixie"), Bootstrap(suite="trixie")
    stopping = Stopping(inner, "one/torch", cut_before(recipe, "torch-wheel"))
    assert (stopping.name, stopping.keeps_stages) == (inner.name, inner.keeps_stages)
    assert stopping.base(pull, "now") == inner.base(pull, "now")
    made = Outcome(stopping.make_base(bootstrap, "now", BytesIO()))
    assert list(made) == ["installing packages"] and made.value == inner.base(bootstrap, "now")
    assert stopping.holds(made.value) and not stopping.holds("nothing")
    stopping.offer(made.value)
    assert inner.offered == [made.value]
