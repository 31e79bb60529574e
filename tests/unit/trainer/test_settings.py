"""The trainer's settings: where they come from, and what a wrong one says. The rest of its tests need a torch: ARR_COC/tests."""

import re
from pathlib import Path

import msgspec
import pytest
from ARR_COC.errors import SettingsError
from ARR_COC.Training.settings import Settings, differences, divided, flat, names, read

from tests.conftest import ROOT


def problem(*words: str, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        read(list(words), environment or {})
    return f"{caught.value.message}: {caught.value.hint}"


def test_words_go_over_wandb_s_and_those_over_the_file_s(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("seed: 1\nsteps: 10\nlr: 1e-3\nmodel:\n  hidden: 32\n  patch: 16\n  depth: 16\n")
    environment = {"WANDB_CONFIG": '{"seed": 2, "steps": 20, "model": {"hidden": 48}, "of another program": 1}'}
    settings = read([f"--config={file}", "seed=3"], environment)
    assert (settings.seed, settings.steps, settings.lr) == (3, 20, 0.001)
    assert (settings.model.hidden, settings.model.patch) == (48, 16)


def test_both_spellings_of_a_setting_mean_the_same() -> None:
    expected = read(["steps=5", "save_every=2", "model.hidden=8", "resume=true"], {})
    assert read(["--steps", "5", "--save-every=2", "--resume", "--model.hidden", "8"], {}) == expected
    assert read(["--resume", "steps=5", "--save-every", "2", "model.hidden=8"], {}) == expected


@pytest.mark.parametrize("day", ["2026-02-03", "2026-02-30"])
def test_a_folder_may_be_named_by_a_day(day: str) -> None:
    assert read([f"output={day}"], {}).output == day


def test_a_number_of_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    assert "steps" in problem(f"steps={'9' * 5000}")
    (tmp_path / "run.yaml").write_text(f"steps: {'9' * 5000}")
    assert "is no YAML" in problem("--config", str(tmp_path / "run.yaml"))


def test_off_and_no_are_words() -> None:
    assert read(["wandb=off", "data=no", "compile=true"], {}) == Settings(wandb="off", data="no", compile=True)


def test_an_unknown_setting_names_the_nearest_one(tmp_path: Path) -> None:
    assert problem("warmup=0.1") == "the command line: there is no setting 'warmup': did you mean warm_up?"
    assert problem("hidden=3").endswith("did you mean model.hidden?")
    assert "there are: output, seed, " in problem("zzzz=3")
    file = tmp_path / "run.yaml"
    file.write_text("modle:\n  hidden: 3\n")
    assert problem("--config", str(file)) == f"{file}: there is no setting 'modle.hidden': did you mean model.hidden?"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("steps=many", "the setting steps is wrong: expected `int`, got `str`"),
        ("steps=0", "the setting steps is wrong: expected `int` >= 1"),
        ("model.dropout=1", "the setting model.dropout is wrong: expected `float` < 1.0"),
        ("precision=fp8", "the setting precision is wrong: invalid enum value 'fp8'"),
        ("model.without=[taste]", "the setting model.without[0] is wrong: invalid enum value 'taste'"),
        ("model=3", "there is no setting 'model'"),
        ("steps", "'steps' is no setting: settings are written key=value"),
        ("model.depth=9", "model.depth=9 does not fit model.patch=8: it may be 2, 4, 8, 10, 22, 64"),
        ("budget=[4, 2]", "budget=[4.0, 2.0] is no range of tokens a patch"),
        ("evaluate_at=100", "evaluate_at=100.0 is not between"),
        ("model.without=[information,salience,coupling]", "leaves no point of view"),
    ],
)
def test_a_wrong_setting_says_what_is_wrong(word: str, expected: str) -> None:
    assert expected in problem(word)


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    assert "can't be read" in problem("--config", str(tmp_path / "none.yaml"))
    (tmp_path / "bad.yaml").write_text("a: [")
    assert "is no YAML" in problem("--config", str(tmp_path / "bad.yaml"))
    (tmp_path / "list.yaml").write_text("- a")
    assert "keys and values are expected" in problem("--config", str(tmp_path / "list.yaml"))
    assert problem(environment={"WANDB_CONFIG": "{"}).startswith("WANDB_CONFIG is no JSON")


def test_a_step_s_images_are_shared_evenly_or_not_at_all() -> None:
    assert divided(Settings(batch=64, accumulation=2), 4) == 8
    with pytest.raises(SettingsError) as caught:
        divided(Settings(batch=10, accumulation=2), 2)
    assert (caught.value.message, caught.value.hint) == (
        "batch=10 can't be shared by 2 processes in 2 parts each", "a multiple of 4, such as 8",
    )  # fmt: skip


def test_only_settings_that_decide_over_weights_make_another_run() -> None:
    before = flat(Settings())
    assert differences(before, flat(Settings(output="elsewhere", workers=3, keep=9))) == []
    assert differences(before, flat(Settings(seed=2, lr=0.5))) == ["lr: 0.02 there, 0.5 here", "seed: 0 there, 2 here"]


def test_a_record_of_the_settings_is_read_back_as_they_were() -> None:
    settings = read(["model.without=[salience]", "budget=[2, 3]"], {})
    assert msgspec.convert(flat(settings) | {"model": msgspec.to_builtins(settings.model)}, dict[str, object])["budget"] == [2, 3]
    assert read([], {"WANDB_CONFIG": msgspec.json.encode(flat(settings)).decode()}) == settings


def test_the_settings_in_the_guide_s_commands_are_some() -> None:
    page = (ROOT / "docs/guide/training.md").read_text()
    commands = re.findall(r"arr-train ([\w./ =-]+)", page) + re.findall(r'--arguments `?"?([^"`|]+)"', page)
    assert len(commands) >= 4
    for words in commands:
        given = words.split()
        read(given[2:] if given[0] == "--config" else given, {})


def test_the_guide_tells_every_setting() -> None:
    page = (ROOT / "ARR_COC/README.md").read_text()
    for name in names():
        assert f"`{name}`" in page, name
