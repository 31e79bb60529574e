"""A launch from its plan to its tags, on a builder and a registry in memory."""

import itertools
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pytest

from arrstack.engines.bases import current_bases
from arrstack.errors import ArrstackError, BuildError, ConfigError, RegistryError, VerificationError
from arrstack.launch.estimate import BASE_SECONDS, bases_here, estimates
from arrstack.launch.launch import Launch
from arrstack.launch.plan import Facts
from arrstack.launch.steps import Steps
from arrstack.launch.tags import misplaced, move_tags
from arrstack.machine.folders import Folders
from arrstack.machine.memory import Kind
from arrstack.model import LABEL_CREATED, Action, BuildStep, Event, EventKind, Image, compiled_in
from arrstack.recipes.config import LoadedStack, load
from arrstack.recipes.tiers import read
from tests.fakes.builder import FakeBuilder
from tests.fakes.registry import MemoryRegistry

ONE = "ARG BASE\nFROM ${BASE}\nCOPY one.txt /one\n"
TWO = "ARG BASE\nFROM ${BASE}\nCOPY two.txt /two\n"
WHEELS = """ARG BASE
FROM ${BASE} AS builder
ARG KEY=by-hand
COPY w.txt /w
FROM scratch AS torch-wheel
COPY --from=builder /w /w
FROM ${BASE}
COPY --from=torch-wheel /w /w
COPY one.txt /one
"""
TABLE = '\n[[tiers.wheels]]\nname = "torch"\nstage = "torch-wheel"\ndistribution = "torch"\nversion-arg = "V"\nkey-arg = "KEY"\n'


@dataclass
class Place:
    """A stack on disk, and what launches of it share."""

    stack: LoadedStack
    folders: Folders
    registry: MemoryRegistry = field(default_factory=MemoryRegistry)

    elsewhere: bool = False
    """The builder builds, proves and publishes where no other program sees it."""

    def __post_init__(self) -> None:
        self.builder = FakeBuilder(self.registry)
        self.ticks = itertools.count()

    def write(self, **texts: str) -> None:
        for name, text in texts.items():
            (self.stack.root / name.replace("_", "/", 1).replace("_", ".")).write_text(text)

    def launch(self, force: Iterable[str] = (), tiers: Iterable[str] = ()) -> Launch:
        stack = load(self.stack.path)
        memory = self.folders.memory(stack.path, stack.profile_name)
        steps = Steps(
            self.builder,
            self.folders,
            memory,
            clock=lambda: float(next(self.ticks)),
            now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
        )
        recipes = {recipe.tier.name: recipe for recipe in read(stack, {}) if not tiers or recipe.tier.name in tiers}
        facts = Facts(
            self.registry.lookup,
            estimates=estimates(stack, 1, memory),
            passed=lambda image, checks: f"{image} {checks}" in memory.noted(Kind.PASSED),
            force=frozenset(force),
        )
        self.builder.keeps_stages = not self.elsewhere
        return Launch(stack, recipes, self.registry, facts, steps, None if self.elsewhere else self.builder)

    def run(self, force: Iterable[str] = ()) -> list[Event]:
        launch = self.launch(force)
        return list(launch.run(launch.plan()))

    def latest(self, tier: str) -> str:
        return self.registry.images[tier, "latest"].content_id


@pytest.fixture
def place(write_stack: Callable[..., LoadedStack], tmp_path: Path) -> Place:
    stack = write_stack({"one": ONE, "two": TWO}, files={"one/one.txt": "1", "two/two.txt": "2"})
    return Place(stack, Folders(tmp_path / "cache", tmp_path / "state", tmp_path / "data"))


@pytest.fixture
def with_wheel(write_stack: Callable[..., LoadedStack], tmp_path: Path) -> Place:
    stack = write_stack({"one": WHEELS, "two": TWO}, files={"one/one.txt": "1", "one/w.txt": "w", "two/two.txt": "2"})
    text = stack.path.read_text().replace('context = "one"\n', 'context = "one"\n' + TABLE)
    stack.path.write_text(text)
    place = Place(load(stack.path), Folders(tmp_path / "cache", tmp_path / "state", tmp_path / "data"))
    place.builder.files["program"] = Path("/bin/true")
    return place


def test_the_first_launch_builds_and_publishes_every_tier_bottom_first(place: Place) -> None:
    events = place.run()
    assert place.builder.steps == ["one", "two"]
    assert [e.step for e in events if e.kind is EventKind.DONE] == ["one", "two"]
    assert place.registry.lookup("two", "latest").image


def test_a_second_launch_reuses_every_tier(place: Place) -> None:
    place.run()
    launch = place.launch()
    assert [tier.action for tier in launch.plan().tiers] == [Action.REUSE, Action.REUSE]
    place.run()
    assert place.builder.steps == ["one", "two"]


def test_a_changed_file_rebuilds_its_tier_and_what_stands_on_it(place: Place) -> None:
    place.run()
    place.write(one_one_txt="changed")
    place.run()
    assert place.builder.steps == ["one", "two", "one", "two"]


def test_a_changed_upper_tier_leaves_the_lower_alone(place: Place) -> None:
    place.run()
    place.write(two_two_txt="changed")
    place.run()
    assert place.builder.steps == ["one", "two", "two"]


def test_a_parent_that_comes_out_the_same_leaves_its_child_valid(place: Place) -> None:
    """Early cut-off: the rebuilt parent has another key and the same content."""
    place.run()
    events = place.run(force=["one"])
    assert place.builder.steps == ["one", "two", "one"]
    assert [(e.step, e.text) for e in events if e.text == "reused"] == [("two", "reused")]


def test_tags_move_last_and_together(place: Place) -> None:
    place.run()
    before = [place.latest("one"), place.latest("two")]
    place.write(one_one_txt="changed", two_Dockerfile=TWO + "RUN exit 3\n")
    with pytest.raises(BuildError, match="status 3"):
        place.run()
    assert [place.latest("one"), place.latest("two")] == before, "a tag moved although the launch failed"
    assert "one" in place.builder.steps[2:], "the lower tier was built"


def test_after_a_failure_the_next_launch_goes_on_from_what_is_finished(place: Place) -> None:
    place.write(two_Dockerfile=TWO + "RUN exit 1\n")
    with pytest.raises(BuildError):
        place.run()
    place.write(two_Dockerfile=TWO)
    place.run()
    assert place.builder.steps == ["one", "two"], "the lower tier was built twice"


def test_a_failed_build_names_the_log_with_its_bytes(place: Place) -> None:
    place.write(one_Dockerfile=ONE + "RUN exit 3\n")
    with pytest.raises(BuildError) as caught:
        place.run()
    log = Path(caught.value.message.rpartition("log: ")[2].splitlines()[0])
    assert "RUN exit 3" in log.read_text()


@pytest.mark.parametrize("tag", ["key", "latest"])
def test_unknown_stops_before_anything_is_built(place: Place, tag: str) -> None:
    key = place.launch().plan().tiers[0].tag
    place.registry.unknown.add(("one", key if tag == "key" else tag))
    if tag == "key":
        with pytest.raises(RegistryError, match="cannot be decided: 503"):
            place.run()
        assert place.builder.steps == []
    else:  # it only explains
        assert place.launch().plan().tiers[0].action is Action.REBUILD


def test_unknown_of_a_following_tier_stops_when_it_is_decided(place: Place) -> None:
    launch = place.launch()
    real = launch.registry.lookup

    def lookup(repository: str, tag: str) -> object:
        if repository == "two" and tag.startswith("key-"):
            place.registry.unknown.add((repository, tag))
        return real(repository, tag)

    object.__setattr__(launch, "facts", replace(launch.facts, lookup=lookup))  # type: ignore[arg-type]
    with pytest.raises(RegistryError, match="two cannot be decided"):
        list(launch.run(launch.plan()))
    assert place.builder.steps == ["one"]


def test_a_failing_check_publishes_nothing_and_says_its_last_lines(place: Place) -> None:
    checks = place.stack.root / "one/checks"
    checks.mkdir()
    (checks / "works.py").write_text("")
    place.builder.programs["works.py"] = (1, ["setting up", "it does not work"])
    with pytest.raises(VerificationError, match=r"works\.py failed(.|\n)*it does not work"):
        place.run()
    assert place.registry.images == {}
    assert place.builder.offered == []


def test_checks_pass_before_the_image_gets_its_short_name_and_is_published(place: Place) -> None:
    checks = place.stack.root / "one/checks"
    checks.mkdir()
    (checks / "works.py").write_text("")
    (checks / "notes.txt").write_text("no program")
    events = place.run()
    done = [(e.step, e.text) for e in events if e.kind is EventKind.DONE]
    assert done[0] == ("one/works.py", "passed")
    assert done[1][0] == "one"
    assert len(place.builder.offered) == 2


@pytest.mark.parametrize(("mode", "text"), [(0o755, "puts 1\n"), (0o644, "#!/usr/bin/env ruby\nputs 1\n")])
def test_a_check_that_nothing_would_run_is_refused(place: Place, mode: int, text: str) -> None:
    checks = place.stack.root / "one/checks"
    checks.mkdir()
    (checks / "works.rb").write_text(text)
    (checks / "works.rb").chmod(mode)
    with pytest.raises(
        ConfigError, match=r"checks/works\.rb: a check is a program of Python or bash, named NAME\.py or NAME\.sh"
    ):
        place.run()
    assert place.builder.steps == []


def test_a_wheel_is_published_before_its_image_and_survives_a_later_failure(with_wheel: Place) -> None:
    with_wheel.write(one_Dockerfile=WHEELS + "RUN exit 4\n")
    with pytest.raises(BuildError, match="status 4"):
        with_wheel.run()
    assert with_wheel.builder.steps == ["one/torch"]
    assert [tag for _, tag in with_wheel.registry.images if tag.startswith("torch-wheel-")]
    with_wheel.write(one_Dockerfile=WHEELS)
    with_wheel.run()
    assert with_wheel.builder.steps == ["one/torch", "one", "two"]


def test_a_changed_last_stage_compiles_no_wheel_again(with_wheel: Place) -> None:
    with_wheel.run()
    with_wheel.write(one_one_txt="changed")
    with_wheel.run()
    assert with_wheel.builder.steps.count("one/torch") == 1


def test_a_wheel_of_which_the_registry_cannot_tell_is_not_compiled(with_wheel: Place) -> None:
    wheel = with_wheel.launch().plan().tiers[0].wheels[0]
    with_wheel.registry.unknown.add(("one", wheel.tag))
    with pytest.raises(RegistryError, match="503"):
        with_wheel.run()
    assert with_wheel.builder.steps == []


def test_the_next_estimate_is_what_the_step_took(place: Place) -> None:
    place.run()
    measured = place.launch().steps.memory.durations()
    assert set(measured) == {"one", "two"}
    assert place.launch(force=["two"]).plan().tiers[1].estimate_seconds == measured["two"]


def test_an_estimate_counts_the_checks_and_the_bill_of_materials(place: Place) -> None:
    checks = place.stack.root / "one/checks"
    checks.mkdir()
    (checks / "works.py").write_text("")
    described(place, Beside())
    measured = place.launch().steps.memory.durations()
    assert set(measured) == {"one", "two", "one/proof", "one/sbom", "two/sbom"}
    expected = measured["one"] + measured["one/proof"] + measured["one/sbom"]
    assert place.launch(force=["one"]).plan().tiers[0].estimate_seconds == expected


def test_another_profile_of_the_same_stack_has_its_own_estimates_and_things(place: Place) -> None:
    place.run()
    other = place.folders.memory(place.stack.path, "another")
    assert other.durations() == {}
    assert other.noted(Kind.IMAGE) == frozenset()
    assert place.launch().steps.memory.noted(Kind.TAG) == {
        f"{name}:{tag}" for name, tag in place.registry.images if tag != "latest"
    }


def test_where_all_is_present_only_a_missing_tag_is_moved(place: Place) -> None:
    place.run()
    del place.registry.images["two", "latest"]
    place.registry.moves.clear()
    launch = place.launch()
    images = launch.plan().images
    assert list(misplaced(launch.stack, launch.registry, images)) == ["two"]
    move_tags(launch.stack, launch.registry, images)
    assert place.registry.moves == [("two", "latest")]
    assert misplaced(launch.stack, launch.registry, images) == {}


def test_two_launches_beside_each_other_end_with_one_content(place: Place) -> None:
    """Nothing but the lock keeps them apart in life; without it they still agree."""
    errors: list[ArrstackError] = []

    def work() -> None:
        try:
            place.run()
        except ArrstackError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({image.content_id for (name, _), image in place.registry.images.items() if name == "two"}) == 1


def test_a_launch_that_is_closed_ends_its_build_and_moves_no_tag(place: Place) -> None:
    place.write(one_Dockerfile=ONE + "RUN sleep\n")
    launch = place.launch()
    events = launch.run(launch.plan())
    for event in events:
        if event.text == "asleep":
            break
    events.close()
    assert place.builder.ended == ["one"]
    assert place.registry.moves == []


def test_what_a_killed_launch_left_is_swept(place: Place) -> None:
    left = place.folders.cache / "step-left"
    left.mkdir(parents=True)
    place.run()
    assert not list(place.folders.cache.glob("step-*"))


def test_the_log_is_written_as_lines_come(place: Place) -> None:
    launch = place.launch()
    events = launch.run(launch.plan())
    seen = next(event for event in events if event.kind is EventKind.LOG)
    log = next(place.folders.logs.glob("*one.log"))
    assert seen.text in log.read_text()
    events.close()


STAGED = "ARG BASE\nFROM scratch AS words\nCOPY two.txt /two\nFROM ${BASE}\nCOPY --from=words /two /two\n"


@pytest.mark.parametrize(("elsewhere", "steps"), [(False, ["one", "two/words", "two"]), (True, ["one", "two"])])
def test_a_builder_that_keeps_no_stages_builds_them_with_the_image(place: Place, elsewhere: bool, steps: list[str]) -> None:
    place.write(two_Dockerfile=STAGED)
    place.elsewhere = elsewhere
    place.run()
    assert sorted(place.builder.steps) == sorted(steps)


def test_what_is_proved_where_it_is_built_is_not_proved_again(place: Place) -> None:
    place.elsewhere = True
    (place.stack.root / "one/checks").mkdir()
    (place.stack.root / "one/checks/fails.sh").write_text("exit 1\n")
    events = place.run()
    assert {event.step for event in events} == {"one", "two"}


def test_a_part_is_one_wheel_which_is_published_and_moves_no_tag(with_wheel: Place) -> None:
    launch = with_wheel.launch(tiers=["one"])
    events = list(launch.part(launch.plan(), "torch"))
    assert with_wheel.builder.steps == ["one/torch"]
    assert [event.step for event in events if event.kind is EventKind.DONE] == ["one/torch"]
    assert not with_wheel.registry.lookup("one", "latest").image


def test_a_wheel_that_is_published_is_not_built_again_as_a_part(with_wheel: Place) -> None:
    for _ in range(2):
        launch = with_wheel.launch(tiers=["one"])
        list(launch.part(launch.plan(), "torch"))
    assert with_wheel.builder.steps == ["one/torch"]


def test_a_wheel_as_a_part_is_refused_until_the_one_that_it_stands_on_is_published(with_wheel: Place) -> None:
    upper = "FROM torch-wheel AS upper\nARG UPPER=by-hand\nFROM scratch AS vision-wheel\nCOPY --from=upper /w /w\nFROM ${BASE}\n"
    with_wheel.write(one_Dockerfile=WHEELS.replace("FROM ${BASE}\n", upper))
    path, table = with_wheel.stack.path, TABLE.replace("torch", "vision").replace("KEY", "UPPER")
    path.write_text(path.read_text().replace(TABLE, TABLE + table))
    launch = with_wheel.launch(tiers=["one"])
    with pytest.raises(BuildError, match="one/vision stands on a wheel that is not published") as error:
        list(launch.part(launch.plan(), "vision"))
    assert error.value.hint == "build it first: torch"
    for part in ("torch", "vision"):
        launch = with_wheel.launch(tiers=["one"])
        list(launch.part(launch.plan(), part))
    assert with_wheel.builder.steps == ["one/torch", "one/vision"]


def test_the_image_as_a_part_is_refused_until_its_wheels_are_published(with_wheel: Place) -> None:
    launch = with_wheel.launch(tiers=["one"])
    with pytest.raises(BuildError, match="stands on the wheel torch, which is not published"):
        list(launch.part(launch.plan(), "image"))
    assert with_wheel.builder.steps == []


def test_the_image_as_a_part_takes_the_published_wheels_and_moves_no_tag(with_wheel: Place) -> None:
    for part in ("torch", "image"):
        launch = with_wheel.launch(tiers=["one"])
        list(launch.part(launch.plan(), part))
    assert with_wheel.builder.steps == ["one/torch", "one"]
    assert not with_wheel.registry.lookup("one", "latest").image


def test_a_part_never_builds_the_tier_below(place: Place) -> None:
    launch = place.launch()
    with pytest.raises(BuildError, match="two stands on one, which is not published"):
        list(launch.part(launch.plan(), "image"))
    assert place.builder.steps == []


def test_a_part_that_a_tier_has_not_is_named_with_those_it_has(with_wheel: Place) -> None:
    launch = with_wheel.launch(tiers=["one"])
    with pytest.raises(ConfigError, match="one has no part 'audio'") as error:
        list(launch.part(launch.plan(), "audio"))
    assert error.value.hint == "its parts: torch, image"


def test_a_base_that_the_engine_pulls_by_its_own_name_is_not_noted_as_ours(place: Place) -> None:
    """It would be pruned, though the next launch wants it and other stacks may use it."""
    place.run()
    assert all(name.startswith("localhost/arrstack/") for name in place.launch().steps.memory.noted(Kind.IMAGE))


# -- base images


@pytest.fixture
def bootstrapped(place: Place) -> Place:
    text = place.stack.path.read_text()
    place.stack.path.write_text(
        text.replace('BASE = { method = "pull", image = "debian:trixie" }', 'BASE = { method = "mmdebstrap", suite = "trixie" }')
    )
    return Place(load(place.stack.path), place.folders)


def test_a_base_image_is_a_step_of_its_own_with_a_log_and_an_estimate(bootstrapped: Place) -> None:
    told = [event for event in bootstrapped.run() if event.step == "base/BASE"]
    first, *_, last = told
    assert (first.kind, first.percent, first.remaining) == (EventKind.PHASE, 0.0, BASE_SECONDS)
    assert Path(first.text.removeprefix("log: ")).read_text() == "installing packages\n"
    assert last == Event(EventKind.DONE, "base/BASE", "made")
    assert not [event for event in bootstrapped.run() if event.step == "base/BASE"], "it is there"


def test_a_build_is_dated_after_the_bases_that_were_made_for_it(bootstrapped: Place) -> None:
    """To make a base takes minutes: the time before it is no build's."""
    launch = bootstrapped.launch()
    minutes = itertools.count()
    steps = replace(launch.steps, now=lambda: datetime(2026, 1, 1, 0, next(minutes), tzinfo=UTC))
    made: list[str] = []
    for event in replace(launch, steps=steps).run(launch.plan()):
        if event.step == "base/BASE" and event.kind is EventKind.DONE:
            made.append(steps.now().isoformat())
    image = bootstrapped.registry.images["one", "latest"]
    assert image.labels[LABEL_CREATED] > made[0]


def test_what_a_base_image_took_is_the_next_estimate(bootstrapped: Place) -> None:
    bootstrapped.run()
    memory = bootstrapped.launch().steps.memory
    assert estimates(bootstrapped.stack, 1, memory)["base/BASE"] < BASE_SECONDS


def test_a_plan_counts_the_bases_that_this_machine_has_not_made(bootstrapped: Place) -> None:
    recipes, memory = read(bootstrapped.stack, {}), bootstrapped.launch().steps.memory
    missing = bases_here(bootstrapped.stack, recipes, memory)
    assert missing == {"one": ("base/BASE",), "two": ()}, "the upper tier stands on the lower"
    facts = replace(bootstrapped.launch().facts, bases=missing)
    assert replace(bootstrapped.launch(), facts=facts).plan().tiers[0].estimate_seconds == 60 + BASE_SECONDS
    memory.note(Kind.IMAGE, *current_bases(bootstrapped.stack))
    assert bases_here(bootstrapped.stack, recipes, memory) == {"one": (), "two": ()}


def test_a_base_image_is_of_the_archive_s_state_for_its_tier(bootstrapped: Place) -> None:
    path = bootstrapped.stack.path
    path.write_text(path.read_text().replace('date = "2026-01-01"', 'date = "2026-01-01"\ntiers.one = "2026-01-02"'))
    bootstrapped.run()
    profile = load(path).profile
    held = {tier: bootstrapped.builder.base(profile.bases["BASE"], profile.archive_state(tier)) for tier in ("one", "two")}
    assert held["one"] and held["two"] is None, "what stands on another tier needs no base image of its own"


# -- what a step is given


def test_a_check_runs_out_of_its_own_folder_and_is_told_the_profile(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = place.stack.root / "one/checks"
    checks.mkdir()
    (checks / "works.py").write_text("")
    run, given = place.builder.run, []

    def noting(reference: str, argv: Sequence[str], env: Mapping[str, str], mounts: Mapping[Path, str]):  # type: ignore[no-untyped-def]
        given.append((list(argv), dict(env), dict(mounts)))
        return run(reference, argv, env, mounts)

    monkeypatch.setattr(place.builder, "run", noting)
    place.run()
    assert given == [(["python", "/checks/works.py"], {"PROFILE": "p"}, {checks.resolve(): "/checks"})]


def test_the_record_of_an_earlier_compile_is_no_argument_of_the_next(with_wheel: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """It orders the work: as an argument or a file of the context it would change the image, or its key."""
    text = with_wheel.stack.path.read_text()
    with_wheel.stack.path.write_text(text.replace('key-arg = "KEY"\n', 'key-arg = "KEY"\nrecord = "torch.tsv"\n'))
    row = "1.00\t0.00\t0\t1.00\t0\tplain\ta.o\n"
    (with_wheel.stack.root / "torch.tsv").write_text(row)
    build, given = with_wheel.builder.build, {}

    def noting(step: BuildStep, reference: str, log: BinaryIO):  # type: ignore[no-untyped-def]
        given[step.name] = {name: path.read_text() for name, path in step.secrets.items()}
        assert not any(path.is_relative_to(step.context) for path in step.secrets.values())
        return build(step, reference, log)

    monkeypatch.setattr(with_wheel.builder, "build", noting)
    with_wheel.run()
    assert given == {"one/torch": {"record": row}, "one": {}, "two": {}}


def test_what_a_compile_said_of_its_edges_orders_the_next_one_here(with_wheel: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it failed: what was made is known."""
    rows = [f"{cost:.2f}\t0.00\t0\t1.00\t{status}\tplain\t{name}.o\n" for cost, status, name in ((9, 0, "a"), (5, 1, "broken"))]
    build, given, failing = with_wheel.builder.build, [], [True]

    def saying(step: BuildStep, reference: str, log: BinaryIO) -> Generator[str, None, str]:
        if step.name == "one/torch":
            given.append([path.read_text() for path in step.secrets.values()])
            yield from (f"ARRSTACK edge: {row[:-1]}" for row in rows)
            if failing.pop():
                raise BuildError("it failed")
        return (yield from build(step, reference, log))

    monkeypatch.setattr(with_wheel.builder, "build", saying)
    failing.append(True)
    with pytest.raises(BuildError):
        with_wheel.run()
    failing[:] = [False]
    events = with_wheel.run()
    assert given == [[], [rows[0]]]
    assert not [event for event in events if "ARRSTACK edge" in event.text]


# -- what belongs beside an image


@dataclass
class Beside:
    """A Description that notes what it is asked."""

    complete: set[str] = field(default_factory=set)
    attached: list[str] = field(default_factory=list)
    fault: str = ""
    sources: dict[str, str] = field(default_factory=dict)

    def attach(self, tier: str, image: Image, source: str) -> Iterator[str]:
        if self.fault:
            raise RegistryError(self.fault)
        self.attached.append(tier)
        self.sources[tier] = source
        yield "attached"

    def is_complete(self, tier: str, image: Image) -> bool:
        return tier in self.complete


def described(place: Place, beside: Beside) -> list[Event]:
    launch = replace(place.launch(), description=beside)
    return list(launch.run(launch.plan()))


def test_a_published_image_gets_what_belongs_beside_it(place: Place) -> None:
    beside = Beside()
    described(place, beside)
    assert beside.attached == ["one", "two"]


def test_it_is_a_step_of_its_own_that_ends(place: Place) -> None:
    told = [event for event in described(place, Beside()) if event.step == "one/sbom"]
    assert [(event.kind, event.text) for event in told] == [
        (EventKind.PHASE, "bill of materials"),
        (EventKind.LOG, "attached"),
        (EventKind.DONE, "attached"),
    ]
    assert "one/sbom" in place.launch().steps.memory.durations(), "the next one has an estimate"
    assert told[0].remaining is None
    place.write(one_one_txt="changed")
    (again,) = (e for e in described(place, Beside()) if e.step == "one/sbom" and e.kind is EventKind.PHASE)
    assert again.remaining == 1.0


def test_what_is_there_already_is_not_attached_again(place: Place) -> None:
    beside = Beside(complete={"one", "two"})
    described(place, beside)
    assert beside.attached == []


def test_nothing_beside_an_image_ends_a_launch(place: Place) -> None:
    events = described(place, Beside(fault="no space"))
    warnings = [event.text for event in events if event.kind is EventKind.WARNING]
    assert len(warnings) == 2
    assert "no space" in warnings[0] and "`arrstack sbom one --attach`" in warnings[0]
    assert place.latest("two")


def test_a_reused_image_that_only_a_server_holds_is_not_fetched_for_it(place: Place) -> None:
    place.run()
    place.write(two_two_txt="other")
    beside = Beside()
    events = described(place, beside)
    assert beside.attached == ["two"]
    assert any("no bill of materials is attached" in event.text for event in events if event.step == "one")


class Directory(MemoryRegistry):
    """Its images can be read where they are."""

    def reference(self, repository: str, tag: str) -> str:
        return f"oci:/folder:{repository}:{tag}"


def test_a_tier_that_is_decided_late_is_described_by_the_key_that_it_has_then(place: Place) -> None:
    place.registry = place.builder.registry = Directory()
    place.run()
    beside = Beside()
    launch = replace(place.launch(force=["one"]), description=beside)
    assert [tier.tag for tier in launch.plan().tiers][1] == "", "the second is not decided yet"
    list(launch.run(launch.plan()))
    (key,) = [tag for tag in place.registry.tags("two") if tag.startswith("key-")]
    assert beside.sources["two"] == f"oci:/folder:two:{key}"


def test_an_image_says_what_its_wheels_were_compiled_from(with_wheel: Place) -> None:
    with_wheel.run()
    (torch,) = compiled_in(with_wheel.registry.images["one", "latest"].labels)
    assert torch.distribution == "torch"
    assert torch.key
    assert f"torch-wheel-{torch.key[:24]}" in with_wheel.registry.tags("one")
