"""What stands between CMake and the compiler."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.image_programs.programs import COMMON, program

edges, launcher, slots = program("edges"), program("launcher"), program("slots")


def test_a_command_is_split_into_flags_and_files() -> None:
    command = launcher.parse("clang++ -O2 -DX=1 -MD -MT a.o -MF a.o.d -o a.o -c src/a.cpp".split())
    assert (command.compiler, command.flags, command.output, command.source) == ("clang++", ["-O2", "-DX=1"], "a.o", "src/a.cpp")
    assert command.line(["-extra"]) == "clang++ -O2 -DX=1 -extra -MD -MT a.o -MF a.o.d -o a.o -c src/a.cpp".split()


def test_what_an_extension_builder_writes_is_understood_too() -> None:
    command = launcher.parse("c++ -MMD -MF a.o.d -Wall -fPIC -c -c /x/a.cpp -o a.o -g0".split())
    assert (command.source, command.output) == ("/x/a.cpp", "a.o")


@pytest.mark.parametrize("line", ["clang++ a.o b.o -o lib.so", "clang++ --version", "clang++ -E -c"])
def test_links_and_questions_pass_as_they_are(line: str) -> None:
    command = launcher.parse(line.split())
    assert not command.source
    assert [command.compiler, *command.flags] == line.split()


def test_options_for_every_compilation_decide_the_header_too(tmp_path: Path) -> None:
    """Else a header made without them would be used with them."""
    (tmp_path / "clang").write_text(
        '#!/bin/sh\necho "$@"\nwhile [ $# -gt 0 ]; do [ "$1" != -o ] || : >"$2"; [ "$1" != -MF ] || echo x: >"$2"; shift; done\n'
    )
    (tmp_path / "clang").chmod(0o755)
    (tmp_path / "pch.json").write_text('{"headers": [{"object": "a.o", "header": "cpu.h"}]}')
    (tmp_path / "headers").mkdir()
    (tmp_path / "headers/cpu.h").write_text("")
    made = []
    for flags in ("", "-fx=1 -fy"):
        told = {"ARRSTACK_WORK": str(tmp_path), "ARRSTACK_PCH": str(tmp_path / "pch.json"), "ARRSTACK_FLAGS": flags}
        argv = [
            sys.executable,
            str(COMMON / "launcher.py"),
            str(tmp_path / "clang"),
            "-O2",
            "-o",
            str(tmp_path / "a.o"),
            "-c",
            "a.cpp",
        ]
        said = subprocess.run(argv, env=os.environ | told, capture_output=True, text=True, check=True).stdout
        assert ("-fx=1 -fy" in said) == bool(flags)
        made.append({path.name for path in tmp_path.glob("*.pch")})
    assert len(made[1]) == 2 > len(made[0])


RULES = {
    "headers": [{"object": "cpu.dir/", "define": "CAP=", "header": "kernel.h"}, {"object": "cpu.dir/", "header": "cpu.h"}],
    "refuse": ["cpu.dir/strange.cpp"],
}


@pytest.mark.parametrize(
    ("line", "header"),
    [
        ("c++ -DCAP=AVX2 -o cpu.dir/a.cpp.o -c a.cpp", "kernel.h"),
        ("c++ -o cpu.dir/a.cpp.o -c a.cpp", "cpu.h"),
        ("c++ -o other.dir/a.cpp.o -c a.cpp", ""),
        ("c++ -o cpu.dir/strange.cpp.o -c strange.cpp", ""),
        ("cc -o cpu.dir/a.c.o -c a.c", ""),
    ],
)
def test_the_first_rule_that_fits_names_the_header(line: str, header: str) -> None:
    assert launcher.take_rule(launcher.parse(line.split()), RULES).get("header", "") == header


@pytest.fixture
def build(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Runs the launcher as a build does, on a compiler that a test writes: what is asked here is what the launcher does
    with a compiler's answers; real compilers are in tests/integration/test_launcher.py."""
    (tmp_path / "plan/headers").mkdir(parents=True)
    (tmp_path / "plan/headers/cpu.h").write_text("// header\n")
    (tmp_path / "plan/pch.json").write_text(json.dumps({"headers": [{"object": "cpu.dir/", "header": "cpu.h"}]}))
    (tmp_path / "cpu.dir").mkdir()

    def run(script: str, *sources: str):  # type: ignore[no-untyped-def]
        compiler = tmp_path / "compiler"
        compiler.write_text(f"#!/bin/bash\ncd {tmp_path}\n{script}\n")
        compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
        environment = os.environ | {"ARRSTACK_WORK": str(tmp_path / "work"), "ARRSTACK_PCH": str(tmp_path / "plan/pch.json")}
        started = [
            subprocess.Popen(
                [sys.executable, "-I", "-S", COMMON / "launcher.py", compiler, "-o", f"cpu.dir/{s}.o", "-c", s],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
            for s in sources or ("a.cpp",)
        ]
        told = [process.communicate()[1] for process in started]
        record = edges.read((tmp_path / "work/edges.tsv").read_text())
        return [p.returncode for p in started], told, [(entry.what, entry.status) for entry in record]

    return run


def test_the_compiler_gets_the_faster_libraries_and_keeps_what_is_asked_for(
    build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/asked/for")
    build('echo "$LD_LIBRARY_PATH" >seen')
    assert (tmp_path / "seen").read_text() == "/asked/for\n"
    monkeypatch.setenv("ARRSTACK_LIBRARIES", "/opt/compiler")
    build('echo "$LD_LIBRARY_PATH" >seen')
    assert (tmp_path / "seen").read_text() == "/opt/compiler:/asked/for\n"


PCH = 'for a; do [ "$last" = -o ] && out=$a; [ "$last" = -MF ] && echo "x: $PWD/plan/headers/cpu.h" >$a; last=$a; done; case "$*" in *c++-header*) echo pch >$out; exit 0;; esac'


def test_a_file_that_refuses_the_header_is_compiled_without(build) -> None:  # type: ignore[no-untyped-def]
    status, told, record = build(f'{PCH}; case "$*" in *-include-pch*) echo refused >&2; exit 1;; esac; echo warned >&2')
    assert (status, told) == ([0], ["warned\n"])
    assert record == [("make-pch", 0), ("pch", 1), ("refused", 0)]


def test_a_file_that_is_wrong_fails_with_the_plain_compiler_s_words(build) -> None:  # type: ignore[no-untyped-def]
    status, told, _ = build(f'{PCH}; case "$*" in *-include-pch*) echo with >&2;; *) echo without >&2;; esac; exit 1')
    assert (status, told) == ([1], ["without\n"])


def test_a_header_that_does_not_compile_is_given_up(build) -> None:  # type: ignore[no-untyped-def]
    status, _, record = build('case "$*" in *c++-header*) exit 1;; *-include-pch*) exit 9;; esac')
    assert status == [0]
    assert record == [("make-pch", 1), ("plain", 0)]


@pytest.mark.parametrize("end", ["kill -9 $$", 'echo "error: No space left on device" >&2; exit 1'])
def test_what_ends_the_making_of_a_header_from_outside_is_no_word_against_it(build: Any, end: str) -> None:
    status, _, _ = build(f'case "$*" in *c++-header*) {end};; esac')
    assert status == [0], "the file is compiled without it"
    _, _, record = build(PCH, "b.cpp")
    assert record[-2:] == [("make-pch", 0), ("pch", 0)]


def test_the_pch_is_made_once_and_again_when_its_header_changes(build, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    build(PCH, "a.cpp", "b.cpp")
    _, _, record = build(PCH, "c.cpp")
    assert [what for what, _ in record].count("make-pch") == 1
    (tmp_path / "plan/headers/cpu.h").write_text("// another header\n")
    _, _, record = build(PCH, "d.cpp")
    assert [what for what, _ in record].count("make-pch") == 2


def test_a_truncated_pch_is_made_again(build, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    build(PCH)
    next((tmp_path / "work").glob("*.pch")).write_text("")
    _, _, record = build(PCH, "b.cpp")
    assert [what for what, _ in record].count("make-pch") == 2


def test_what_the_kernel_killed_runs_again_alone(build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("ARRSTACK_JOBS", "5")
    # Each edge says when it runs; the second try of the killed one must find no other.
    script = f"""{PCH}
name=$(basename "${{@: -1}}")
if [ -e killed-$name ] || [ "$name" != big.cpp ]; then
  echo "${{ARRSTACK_JOBS-none}}" >jobs-$name; touch running-$name; sleep 0.3; ls running-* >>seen-$name; rm running-$name
else touch killed-$name; sleep 0.1; kill -9 $$; fi"""
    status, _, record = build(script, "a.cpp", "b.cpp", "big.cpp", "c.cpp", "d.cpp")
    assert status == [0] * 5
    assert ("killed", 0) in record
    assert (tmp_path / "seen-big.cpp").read_text() == "running-big.cpp\n"
    assert [(tmp_path / f"jobs-{name}.cpp").read_text() for name in ("a", "big")] == ["5\n", "none\n"]


def test_what_is_not_ahead_gives_way(build, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    script = f'{PCH}\nnice >nice-$(basename "${{@: -1}}")'
    (tmp_path / "work").mkdir()
    slots.write_ahead(str(tmp_path / "work"), {"cpu.dir/a.cpp.o": False})
    build(script, "a.cpp", "b.cpp")
    before = os.nice(0)
    assert [int((tmp_path / f"nice-{name}.cpp").read_text()) - before for name in ("a", "b")] == [0, slots.LESS]


def test_c_goes_through_the_cache_too_and_a_question_of_cmake_s_does_not(tmp_path: Path) -> None:
    cache, compiler = tmp_path / "cache", tmp_path / "cc"
    cache.write_text(f'#!/bin/sh\necho "$3" >>{tmp_path}/cached\nexec "$@"\n')
    compiler.write_text("#!/bin/sh\n")
    for tool in (cache, compiler):
        tool.chmod(0o755)
    environment = os.environ | {"ARRSTACK_WORK": str(tmp_path / "work"), "ARRSTACK_CCACHE": str(cache)}
    for output, source in (("x.dir/a.c.o", "a.c"), ("x.dir/b.cpp.o", "b.cpp"), ("CMakeFiles/cmTC_6d1.dir/src.cxx.o", "src.cxx")):
        command = [sys.executable, "-I", "-S", COMMON / "launcher.py", compiler, "-o", output, "-c", source]
        subprocess.run(command, env=environment, check=True)
    assert (tmp_path / "cached").read_text().split() == ["x.dir/a.c.o", "x.dir/b.cpp.o"]
    assert len(edges.read((tmp_path / "work/edges.tsv").read_text())) == 3
