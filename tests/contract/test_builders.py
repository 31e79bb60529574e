"""What every builder does, by the Protocol in arrstack.engines: the engines of this machine, and the tests' own fake."""

import io
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from arrstack.engines import Builder, Engine
from arrstack.engines.local import LocalBuilder
from arrstack.errors import BuildError, RegistryError
from arrstack.machine.folders import Folders
from arrstack.machine.process import Processes
from arrstack.model import BuildStep, Image
from arrstack.registry import OciDirectory
from tests.contract.conftest import BASE, started
from tests.fakes.builder import FakeBuilder
from tests.fakes.registry import MemoryRegistry

RECIPE = "ARG BASE\nFROM ${BASE}\nCOPY file /file\n"


@pytest.fixture(scope="module", params=["fake", "buildah", "docker"])
def own_engine(request: pytest.FixtureRequest, rootfs: Path, downloads: Path) -> Iterator[Engine | None]:
    """The engine below the builder; None for the fake."""
    if request.param == "fake":
        yield None
        return
    with started(request.param, rootfs, downloads) as engine:
        yield engine


@pytest.fixture
def builder(own_engine: Engine | None, tmp_path: Path) -> Builder:
    if own_engine is None:
        fake = FakeBuilder(MemoryRegistry())
        fake.store[BASE] = ("base", {})
        return fake
    folders = Folders(tmp_path / "cache", tmp_path / "state", tmp_path / "data")
    return LocalBuilder(own_engine, OciDirectory(tmp_path / "registry"), Processes(), folders)


def step(folder: Path, recipe: str = RECIPE, text: str = "text", **fields: object) -> BuildStep:
    context = folder / uuid.uuid4().hex
    context.mkdir()
    (context / "file").write_text(text)
    dockerfile = context.with_suffix(".Dockerfile")
    dockerfile.write_text(recipe)
    return BuildStep("step", context, dockerfile, **({"args": {"BASE": BASE}} | fields))  # type: ignore[arg-type]


def built(builder: Builder, step: BuildStep, log: io.BytesIO | None = None) -> str:
    lines = builder.build(step, f"localhost/arrstack/built:{uuid.uuid4().hex}", log or io.BytesIO())
    try:
        while True:
            next(lines)
    except StopIteration as end:
        return str(end.value)


def published(builder: Builder, step: BuildStep, tag: str = "key-1") -> Image:
    return builder.publish(built(builder, step), "tier", tag)


def test_what_was_built_is_held(builder: Builder, tmp_path: Path) -> None:
    assert builder.holds(built(builder, step(tmp_path)))
    assert not builder.holds("localhost/arrstack/never:built")


def test_a_published_image_is_what_a_later_step_stands_on(builder: Builder, tmp_path: Path) -> None:
    parent = published(builder, step(tmp_path))
    assert built(builder, step(tmp_path, args={"BASE": builder.available(parent)}))


def test_the_same_inputs_make_the_same_content_and_others_another(builder: Builder, tmp_path: Path) -> None:
    first, second, other = (published(builder, step(tmp_path, text=text), f"key-{n}") for n, text in enumerate("aab"))
    assert first.content_id == second.content_id != other.content_id


def test_labels_are_published(builder: Builder, tmp_path: Path) -> None:
    assert published(builder, step(tmp_path, labels={"io.arrstack.key": "k"})).labels["io.arrstack.key"] == "k"


def test_a_failing_step_leaves_no_image_and_says_its_status(builder: Builder, tmp_path: Path) -> None:
    reference = "localhost/arrstack/failing:1"
    lines = builder.build(step(tmp_path, RECIPE + "RUN exit 3\n"), reference, io.BytesIO())
    with pytest.raises(BuildError, match="status 3"):
        list(lines)
    assert not builder.holds(reference)


def test_the_log_holds_what_was_told(builder: Builder, tmp_path: Path) -> None:
    log = io.BytesIO()
    built(builder, step(tmp_path), log)
    assert b"COPY" in log.getvalue()


def test_an_image_that_is_gone_is_not_available(builder: Builder, tmp_path: Path) -> None:
    gone = Image("tier", f"sha256:{'0' * 64}", f"sha256:{'1' * 64}", "content", {}, "", 1)
    with pytest.raises(RegistryError, match="no longer holds"):
        builder.available(gone)


@pytest.mark.parametrize(("argv", "status", "lines"), [(["true"], 0, []), (["false"], 1, []), (["echo", "a"], 0, ["a"])])
def test_a_program_answers_with_its_status(
    builder: Builder, tmp_path: Path, argv: list[str], status: int, lines: list[str]
) -> None:
    assert isinstance(builder, LocalBuilder | FakeBuilder)
    running = builder.run(built(builder, step(tmp_path)), argv, {}, {})
    told = []
    try:
        while True:
            told.append(next(running))
    except StopIteration as end:
        assert (end.value, told) == (status, lines)


def test_a_build_that_is_closed_leaves_no_image(builder: Builder, tmp_path: Path) -> None:
    reference = "localhost/arrstack/closed:1"
    lines = builder.build(step(tmp_path, RECIPE + "RUN sleep 60\n"), reference, io.BytesIO())
    next(lines)
    lines.close()
    assert not builder.holds(reference)
