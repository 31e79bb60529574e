"""The command line: forms, exit statuses, and no traceback for what a user can cause."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from arrstack.cli import main as cli
from arrstack.cli.build import tell_next
from arrstack.cli.console import Output
from arrstack.cli.run import run_image
from arrstack.cli.session import Options, Session
from arrstack.engines import RunOptions
from arrstack.launch.plan import Plan, TierPlan, WheelPlan, compiles
from arrstack.launch.setup import Setup
from arrstack.machine.folders import Folders
from arrstack.model import Action, Answer, Change, Image, Inputs, State
from arrstack.recipes.config import LoadedStack, load
from arrstack.registry import LOOKING
from tests.conftest import ROOT
from tests.fakes.command_line import arrstack as run

IN_CLOUD = ["--engine", "cloudbuild", "--registry", "oci:/nope", "--project", "my-project"]
TWO = {"one": "ARG BASE\nFROM ${BASE}\nRUN true\n", "two": "ARG BASE\nFROM ${BASE}\nRUN true\n"}


@pytest.fixture
def stack(write_stack: Callable[..., LoadedStack]) -> Path:
    loaded = write_stack(TWO)
    text = loaded.path.read_text().replace('image = "debian:trixie"', 'image = "localhost/base"')
    loaded.path.write_text(text)
    return loaded.path


@pytest.mark.parametrize("words", [["-h"], ["cache", "-h"]])
def test_a_narrow_terminal_cuts_no_sentence_of_the_list(words: list[str]) -> None:
    listed = run(*words, COLUMNS="60").stdout.partition("Commands:")[2]
    assert "..." not in listed
    wide = run(*words, COLUMNS="80").stdout.partition("Commands:")[2]
    assert listed.split() == wide.split()
    assert all(len(line) <= 60 for line in listed.splitlines())


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_each_command_has_one_whole_sentence_in_the_list(flag: str) -> None:
    listed = run(flag, COLUMNS="80").stdout.partition("Commands:")[2].strip().splitlines()
    assert len(listed) >= 20
    assert [line for line in listed if not line.endswith(".") or line.endswith("...")] == []


def test_a_terminal_that_says_that_it_has_no_columns_shows_all(stack: Path) -> None:
    assert "rebuild  one" in run("plan", "--stack", str(stack), COLUMNS="0").stdout
    assert "'nope'" in run("plan", "nope", COLUMNS="0").stderr


@pytest.mark.parametrize("group", ["cache", "infra", "registry"])
def test_a_group_alone_shows_its_commands_and_is_no_error(group: str) -> None:
    done = run(group)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Commands:" in done.stdout


def test_the_version_is_told_without_a_command() -> None:
    done = subprocess.run([sys.executable, "-m", "arrstack", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("arrstack ")


@pytest.mark.parametrize("words", [["--profile", "full", "plan"], ["plan", "--profile", "full"], ["plan", "--profile=full"]])
def test_global_options_may_stand_behind_the_command(words: list[str]) -> None:
    assert json.loads(run(*words, "--json").stdout)["profile"] == "full"


def test_a_global_option_behind_the_command_is_stronger_than_one_before() -> None:
    assert json.loads(run("--profile", "full", "cache", "stats", "--profile", "nope", "--json").stdout)["status"] == 2


def test_the_words_behind_the_tier_are_the_container_s(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--profile` and `-v` of a program inside are no options of ours; `--` between them is only a habit."""
    seen: list[list[str]] = []

    def run_image(session: Session, tier: str, argv: list[str], *_: object) -> int:
        seen.append([session.stack.profile_name, tier, *argv])
        return 0

    monkeypatch.setattr("arrstack.cli.run.run_image", run_image)
    for words in ("run arr-trainer pip install --profile x -v", "run --profile full arr-trainer -- --json"):
        monkeypatch.setattr("sys.argv", ["arrstack", "--stack", str(ROOT / "stack.toml"), *words.split()])
        with pytest.raises(SystemExit):
            cli.main()
    assert seen == [["cpu", "arr-trainer", "pip", "install", "--profile", "x", "-v"], ["full", "arr-trainer", "--json"]]


def test_a_plan_has_the_documented_form(stack: Path) -> None:
    plan = json.loads(run("plan", "--json", "--stack", str(stack)).stdout)
    assert set(plan) == {"profile", "engine", "registry", "tiers"}
    one, two = plan["tiers"]
    assert set(one) == {"name", "inputs", "key", "state", "action", "reasons", "estimate_seconds", "checks_due"}
    assert (one["state"], one["action"], two["key"], two["action"]) == ("absent", "rebuild", None, "follows")
    assert two["reasons"][0] == {"leaf": "parent", "change": "changed"}


def test_the_real_stack_shows_its_compile_keys() -> None:
    first = json.loads(run("plan", "--json").stdout)["tiers"][0]
    assert list(first["compile"]) == ["torch", "torchvision", "torchaudio"]
    assert len(first["compile"]["torch"]) == 64
    assert first["compile"]["torchvision"] is None


def test_dry_run_is_a_plan_and_changes_nothing(stack: Path, own_folders: Path) -> None:
    assert run("launch", "--dry-run", "--stack", str(stack)).stdout.startswith(f"stack {stack}, profile p\n")
    assert not list(own_folders.rglob("*.json"))


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--bogus"], 2, "No such option"),
        (["plan", "nope"], 2, "there is no tier 'nope'"),
        (["plan", "--profile", "nope"], 2, "there is no profile 'nope'"),
        (["plan", "--registry", "nope"], 2, "names no registry"),
        (["plan", "--registry", "oci:/a:b"], 2, "may not hold a colon"),
        (["plan", "--stack", "/nope.toml"], 2, "there is no stack file"),
        (["launch", "--jobs", "0"], 2, "--jobs 0"),
        (["plan", "--compile-plan", "fast"], 2, "it takes auto or none"),
        (["launch", "--refresh", "--dry-run"], 2, "changes nothing"),
        (["launch", "--run", "--dry-run"], 2, "changes nothing"),
        (["plan", "--bogus"], 2, "`arrstack plan [OPTIONS] [TIER]`; `arrstack plan -h` says more"),
        (["export", "arr-trainer"], 2, "`arrstack export [OPTIONS] {TIER} {DEST}`"),
        (["export", "arr-trainer", "nope"], 2, "no destination"),
        (["push", "a", "b", "c"], 2, "one word too many"),
        (["run", "--registry", "localhost:1/x", "arr-trainer"], 3, "cannot be told"),
        (["launch", "--wheels", "/tmp", "--dry-run"], 2, "wheels of torch"),
        (["launch", "--engine", "podman"], 2, "there is no engine 'podman'"),
        (["plan", "--engine", "podman"], 2, "--engine is one of auto, buildah, docker, buildx, cloudbuild"),
        (["diagnose", "/nope.log"], 2, "cannot be read"),
        (["run", "arr-trainer"], 2, "`arrstack launch arr-trainer` builds it"),
        (["run", "-e", "NOT_SET_ANYWHERE", "arr-trainer"], 2, "is not set here"),
        (["run", "-it", "arr-trainer"], 2, "no terminal"),
        (["run", "-v", "/nowhere:/data", "arr-trainer"], 2, "there is no /nowhere"),
        (["run", "-v", "data", "arr-trainer"], 2, "HOST:CONTAINER"),
        (["verify", "/nope.whl"], 2, "no such file"),
        (["why", "nope"], 2, "there is no tier"),
        (["verify", ""], 2, "no target is named"),
        (["plan", "--engine", "buildx"], 2, "names no builder"),
        (["cache", "prune", "--to", "²G"], 2, "for example --to 5G"),
        (["launch", "--submit", "--where", "--gpus", "9" * 5000], 2, "it takes a number"),
        (["launch", "--dry-run", *IN_CLOUD, "--max-cost", "0.01", "--price-per-minute", "0.5"], 2, "may cost more than $0.01"),
        (["launch", "--dry-run", *IN_CLOUD, "--max-cost", "5", "--json"], 2, "below $5 cannot be told"),
        (["plan", *IN_CLOUD, "--worker-pool", "two words"], 2, "'two words' is no name of a pool"),
        (["plan", "--price-per-minute", "nan"], 2, "nan is no number of dollars"),
        (["launch", "--max-cost", "inf", "--dry-run"], 2, "inf is no number of dollars"),
        (["why"], 2, "Missing argument 'TIER'"),
        (["plan", "--price-per-minute", "much"], 2, "'--price-per-minute': 'much'"),
        (["plan", "--tag", "two words"], 2, "--tag 'two words' is not a tag"),
        (["plan", "--tag", "key-mine"], 2, "key-... and sha256-... are arrstack's own"),
        (["plan", "--base-image", "arr-trainer"], 2, "--base-image arr-trainer: it takes TIER=IMAGE"),
        (["plan", "--layers", "lz4"], 2, "'lz4' is not one of 'gzip', 'zstd'"),
        (["launch", "arr-pytorch-base", "--only", "wheel", "--dry-run"], 2, "its parts: torch, vision, audio, image"),
        (["launch", "--wheels", "quay.io/NAME", "--dry-run"], 2, "neither a folder nor an image"),
        (["launch", "--submit", "--where", "--machine", "nope"], 2, "no machine type that this program knows"),
        (["diagnose", "/nope.log"], 2, "name another log: they are in "),
        (["verify", "docker://a b"], 2, "is not an image's name"),
        (["status", "--registry", "oci:"], 2, "oci: names no directory"),
    ],
)
def test_what_is_wrong_ends_in_one_sentence_and_its_status(
    arguments: list[str], status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arrstack.cli.session.WORKING", LOOKING)  # what works waits longer for a registry
    done = run(*arguments)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert done.stderr.startswith("error: ")


def test_whose_reader_has_gone_ends_without_a_word() -> None:
    reader = (
        "import subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE); p.stdout.close(); sys.exit(p.wait())"
    )
    command = [sys.executable, "-c", reader, sys.executable, "-m", "arrstack", "plan", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONUNBUFFERED": "1"}, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == ""


def test_what_the_system_refuses_is_told_with_its_place(stack: Path, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("no folder")
    done = run("cache", "stats", "--stack", str(stack), XDG_CACHE_HOME=str(tmp_path / "state"))
    assert done.returncode == 5, done.stderr
    assert "Not a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_is_json_where_that_is_asked_for() -> None:
    said = run("plan", "nope", "--json").stdout
    assert said.count("\n") == 1, "a reader of lines reads it too"
    told = json.loads(said)
    assert told["status"] == 2
    assert "nope" in told["error"]


def test_a_registry_that_does_not_answer_is_unknown_and_status_3(stack: Path) -> None:
    done = run("plan", "--stack", str(stack), "--registry", "127.0.0.1:9/x", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["tiers"][0]["state"] == "unknown"
    assert "cannot be decided" in done.stderr


@pytest.mark.parametrize("wrong", ["--registry nope", "--engine podman", "--jobs 0", "--compile-plan fast"])
def test_refresh_changes_nothing_before_all_that_was_typed_is_right(stack: Path, wrong: str) -> None:
    before = stack.read_text()
    done = run("launch", "--refresh", "--stack", str(stack), *wrong.split())
    assert done.returncode == 2, done.stderr
    assert stack.read_text() == before


@pytest.mark.parametrize("command", ["plan", "launch --dry-run"])
def test_a_dead_registry_is_told_with_its_cause_before_any_table(stack: Path, command: str) -> None:
    done = run(*command.split(), "--stack", str(stack), "--registry", "127.0.0.1:9/x")
    assert done.returncode == 3
    assert "Connection refused" in done.stderr
    assert done.stdout == f"stack {stack}, profile p\n"


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_status_that_cannot_be_told_is_no_success(stack: Path, form: list[str]) -> None:
    done = run("status", "--stack", str(stack), "--registry", "127.0.0.1:9/x", *form)
    assert done.returncode == 3
    assert "unknown" in done.stdout


def test_without_set_up_the_commands_are_printed(stack: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "apt-get").write_text("#!/bin/sh\necho must not run >&2; exit 9\n")
    (tools / "apt-get").chmod(0o755)
    done = run("launch", "--no-setup", "--stack", str(stack), PATH=str(tools))
    assert done.returncode == 5
    assert "apt-get install" in done.stderr
    assert "buildah" in done.stderr


@pytest.mark.parametrize(
    "command",
    [["plan"], ["why", "top"], ["status"], ["prune", "--dry-run"], ["launch", "--dry-run"], ["infra", "plan"]],
    ids=" ".join,
)
def test_who_only_looks_writes_nothing_and_installs_nothing(
    command: list[str], stack: Path, own_folders: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tools = tmp_path_factory.mktemp("tools")
    for name in ("apt-get", "sudo", "buildah", "docker", "mmdebstrap", "unshare"):
        (tools / name).write_text(f"#!/bin/sh\necho {name} >>{tools}/executed; exit 9\n")
        (tools / name).chmod(0o755)

    def dates() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for folder in (own_folders, stack.parent) for path in folder.rglob("*")}

    before = dates()
    done = run(*command, "--stack", str(stack), "--yes", PATH=str(tools))
    assert done.returncode in (0, 2, 3), done.stderr
    assert dates() == before
    executed = (tools / "executed").read_text().split() if (tools / "executed").exists() else []
    assert set(executed) <= {"docker"}  # it is asked whether it answers


def test_a_second_launch_is_told_who_holds_the_first(stack: Path, own_folders: Path) -> None:
    with Folders.of(os.environ).alone("a test"):
        status = run("status", "--stack", str(stack))
        assert f"running: process {os.getpid()}: a test" in status.stdout
    assert "no launch is running" in run("status", "--stack", str(stack)).stdout


def test_diagnose_says_cause_and_remedy(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("a\ng++: fatal error: Killed signal terminated program cc1plus\n")
    done = run("diagnose", str(log))
    assert done.returncode == 0
    assert "memory" in done.stdout
    assert json.loads(run("diagnose", str(log), "--json").stdout)["number"] == 2


def test_diagnose_shows_the_last_lines_of_a_failure_that_no_rule_knows(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("[1/2] x\nnothing\n")
    done = run("diagnose", str(log))
    assert (done.returncode, done.stdout.splitlines()) == (1, ["no rule knows this failure; the last lines:", "  nothing"])
    log.write_text("error: the moon is full\nand so on\n")
    done = run("diagnose", str(log))
    assert done.returncode == 0
    assert done.stdout.splitlines()[2:] == [
        "that is a guess; the last lines:",
        "  error: the moon is full",
        "  and so on",
    ]


def test_ctrl_c_is_told_whatever_the_command_was_doing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "recipes", interrupted)
    monkeypatch.setattr("sys.argv", ["arrstack", "plan"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_shell_that_allows_everybody_to_write_changes_nothing(tmp_path: Path, stack: Path) -> None:
    before = os.umask(0)
    try:
        run("launch", "--refresh", "--no-setup", "--stack", str(stack), PATH="/nowhere", XDG_CACHE_HOME=str(tmp_path / "cache"))
    finally:
        os.umask(before)
    made = [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_mode & 0o022]
    assert stack.read_text().count('date = "2026-01-01"') == 0, "the launch wrote the stack file anew"
    assert stack not in made


def test_json_holds_a_program_s_lines_as_events(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Engine:
        def run(self, *_: object) -> Generator[str, None, int]:
            yield "42 tiles"
            return 7

    monkeypatch.setattr(Session, "published", lambda *_: None)
    monkeypatch.setattr(Session, "engine", lambda *_, **__: Engine())
    monkeypatch.setattr(Session, "bring", lambda *_: "reference")
    session = Session(Options(stack=ROOT / "stack.toml"), os.environ)
    assert run_image(session, "arr-trainer", [], RunOptions(), session.output(as_json=True)) == 7
    assert json.loads(capsys.readouterr().out) == {"kind": "log", "step": "arr-trainer", "text": "42 tiles"}


@pytest.mark.parametrize(
    ("actions", "wheel_there", "answer"),
    [
        ((Action.REUSE, Action.REBUILD), False, False),
        ((Action.REBUILD, Action.FOLLOWS), True, False),
        ((Action.REBUILD, Action.FOLLOWS), False, True),
    ],
)
def test_the_preflight_asks_for_a_compile_only_where_one_is_due(
    actions: tuple[Action, ...], wheel_there: bool, answer: bool
) -> None:
    stack = load(ROOT / "stack.toml")
    image = Image("t", "d", "c", "x", {}, "", 1)
    wheel = WheelPlan(stack.tiers[0].wheels[0], "k" * 64, Answer(State.PRESENT, image) if wheel_there else Answer(State.ABSENT))
    nothing = Answer(State.ABSENT)
    base, upper = (
        TierPlan(tier.name, Inputs({}), None if action is Action.FOLLOWS else "k", nothing, action, (), wheels)
        for tier, action, wheels in zip(stack.tiers[:2], actions, ((wheel,), ()), strict=True)
    )
    assert compiles(stack, Plan("p", "e", "r", (base, upper))) is answer


def test_a_tier_with_wheels_that_follows_another_may_compile() -> None:
    stack = load(ROOT / "stack.toml")
    tier = TierPlan(stack.tiers[0].name, Inputs({}), None, Answer(State.ABSENT), Action.FOLLOWS, ())
    assert compiles(stack, Plan("p", "e", "r", (tier,)))


@pytest.mark.parametrize(
    ("command", "daemon", "words"),
    [
        ('CMD ["x"]', True, ["run two", "export two docker", "push HOST/PREFIX"]),
        ("ENV A=1", False, ["export two oci-archive:two.tar", "push HOST/PREFIX"]),
    ],
)
def test_what_a_launch_says_to_do_next_works_on_this_machine(
    write_stack: Callable[..., LoadedStack],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    daemon: bool,
    words: list[str],
) -> None:
    base = "ARG BASE\nFROM ${BASE}\n"
    stack = write_stack({"one": base, "two": f"{base}{command}\n"})
    session = Session(Options(stack=stack.path, engine="docker"), {"PATH": "/nonexistent"})
    monkeypatch.setattr(Setup, "present", lambda _, wanted: object() if daemon and wanted == "docker" else None)
    tell_next(session, session.output())
    assert [line.removeprefix("  arrstack ") for line in capsys.readouterr().out.splitlines()] == ["next:", *words]


def test_a_reason_that_is_cut_names_the_command_that_shows_all(capsys: pytest.CaptureFixture[str]) -> None:
    changes = [Change(f"leaf {number}", "a", "b") for number in range(3)]
    Output(False, color=False, verbose=False).changes("two", changes, 2)
    assert capsys.readouterr().out.splitlines()[-1] == "and 1 more: `arrstack why two` shows all"


def test_an_uninstall_says_that_it_removes_before_it_does(own_folders: Path) -> None:
    (own_folders / "xdg_data_home/arrstack").mkdir(parents=True)
    lines = run("uninstall", "--yes").stdout.splitlines()
    assert lines[0] == "removing; a large store takes minutes"
    assert lines[1].startswith("removed ")
