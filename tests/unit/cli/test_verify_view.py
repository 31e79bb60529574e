"""What a person reads of a verification: the answer first, the verdict last."""

import io
import zipfile
from pathlib import Path

import pytest
from rich.console import Console

from arrstack.artifacts.files import Level, Problem
from arrstack.cli import verify_view
from arrstack.verify import load_policy
from arrstack.verify.compat import Choice, Mode
from arrstack.verify.entries import Arch
from arrstack.verify.facts import Amount
from arrstack.verify.report import Gpu, JudgedLibrary, Report


def report(**changes: object) -> Report:
    libraries = (
        JudgedLibrary(
            "lib/a.so", True, {Arch(86): Amount(2, 4_000_000)}, {Arch(80): Amount(1, 1_000_000)}, {}, 2, ("sm_89",), ("sm_86",)
        ),
        JudgedLibrary("lib/\x1b[2Jnccl.so", False, {}, {}, {Arch(90): Amount(1, 10)}, 1),
    )
    gpus = {
        "L4": Gpu((8, 9), Choice(Mode.LOWER_MINOR, Arch(86)), {"lib/a.so": Mode.LOWER_MINOR}, 0, 2),
        "T4": Gpu((7, 5), Choice(Mode.NO), {"lib/a.so": Mode.NO}, 0, 2),
    }
    values: dict[str, object] = {
        "target": "x.whl",
        "source": "wheel",
        "policy": load_policy(),
        "libraries": libraries,
        "elf_files": 2,
        "gpus": gpus,
        "asked": (),
        "packages": (),
        "needs": {"cpu": "x86-64", "libc": "musl"},
        "cpu_capabilities": ("DEFAULT", "AVX2"),
        "problems": (Problem(Level.NOTE, "p\x1b]0;x\x07", "noted", "do this"),),
    }
    return Report(**(values | changes))  # type: ignore[arg-type]


def shown(what: Report) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=200, highlight=False).print(verify_view.render(what))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_the_gpus_come_first_and_the_verdict_last() -> None:
    lines = shown(report())
    assert lines[:3] == ["L4 (sm_89): runs, by sm_86 code", "T4 (sm_75): does not run", "x.whl"]
    assert lines[-1].startswith("FAIL  not exactly the list asked for, sm_75, sm_80, sm_86, sm_89, sm_90: missing: sm_89")


def test_a_library_has_a_line_for_each_architecture() -> None:
    table = [line.split() for line in shown(report())[4:9]]
    assert table[0][:7] == ["lib/a.so", "sm_86", "not", "asked", "for", "2", "4.0"]
    assert table[1] == ["compute_80", "(PTX)", "1", "1.0", "████"]
    assert table[2] == ["sm_89", "missing", "0"]
    assert table[3][:7] == ["lib/\\x1b[2Jnccl.so", "(not", "judged)", "sm_90", "(LTO", "IR)", "1"]


def test_needs_findings_and_capabilities_are_shown_and_foreign_text_is_not_executed() -> None:
    lines = shown(report())
    assert "needs  cpu x86-64   libc musl" in lines
    assert "CPU kernels for DEFAULT, AVX2" in lines
    assert "· p\\x1b]0;x\\x07: noted  → do this" in lines
    assert not any("\x1b" in line for line in lines)


def test_wheels_are_shown_one_after_the_other_under_their_names() -> None:
    inner = report(target="a.whl", libraries=(), gpus={}, needs={}, cpu_capabilities=(), problems=())
    lines = shown(report(target="dist", libraries=(), gpus={}, needs={}, cpu_capabilities=(), problems=(), wheels=(inner, inner)))
    passes = "PASS  there is no GPU code in it, and none was asked for"
    assert lines == ["a.whl", passes, "a.whl", passes, "dist", "PASS  each of the 2 wheels in it"]


def test_a_question_without_gpu_code_is_answered_too() -> None:
    assert shown(report(libraries=(), gpus={}, asked=("L4",)))[0] == "L4: there is no GPU code in it"


def test_thousands_of_lines_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_view, "_PROBLEMS_SHOWN", 2)
    monkeypatch.setattr(verify_view, "_LIBRARIES_SHOWN", 1)
    lines = shown(report(problems=tuple(Problem(Level.WARNING, f"p{number}", "m") for number in range(5))))
    assert "and 3 more findings: --json shows all" in lines
    assert "and 1 more: --json shows all" in lines
    assert [line for line in lines if line.startswith("! p")] == ["! p0: m", "! p1: m"]


def test_the_command_answers_for_a_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from arrstack.cli.main import main

    with zipfile.ZipFile(tmp_path / "x-1-py3-none-any.whl", "w") as members:
        members.writestr("x.py", "pass")
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr("sys.argv", ["arrstack", "verify", str(tmp_path / "x-1-py3-none-any.whl"), "--gpu", "L4"])
        try:
            status = main()
        except SystemExit as end:
            status = end.code
    assert status == 4
    assert capsys.readouterr().out.startswith("L4: there is no GPU code in it\n")


@pytest.mark.parametrize("columns", [60, 20])
def test_on_a_narrow_terminal_the_table_is_a_list_and_no_path_is_broken(columns: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=columns, highlight=False, soft_wrap=True)
    console.print(verify_view.render(report(), console.width))
    lines = out.getvalue().splitlines()
    assert lines[3:6] == ["lib/a.so", "  sm_86 not asked for, 2 entries, 4.0 MB", "  compute_80 (PTX), 1 entries, 1.0 MB"]
    assert "lib/\\x1b[2Jnccl.so (not judged)" in lines
