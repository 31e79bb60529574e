"""The programs that the bottom recipe runs inside the image, run here."""

import importlib.util
import json
import os
import re
import stat
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from arrstack.errors import ConfigError
from arrstack.launch.launch import read_record
from tests.conftest import ROOT

COMMON = ROOT / "Stack/arr-pytorch-base/build/common"


def program(name: str, folder: Path = COMMON) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


launcher, patch_cmake, schedule = program("launcher"), program("patch_cmake"), program("schedule")


# -- the CMake patch


@pytest.fixture
def third_party(tmp_path: Path) -> Path:
    """A made tree with minimums below, at and above 3.5."""
    files = {
        "protobuf/cmake/CMakeLists.txt": "cmake_minimum_required(VERSION 3.1.3)\n",
        "a/CMakeLists.txt": "CMAKE_MINIMUM_REQUIRED( VERSION 2.8.12 FATAL_ERROR)\nproject(a)\n",
        "b/CMakeLists.txt": "cmake_minimum_required(VERSION 3.5)\n",
        "c/CMakeLists.txt": "cmake_minimum_required(VERSION 3.10...3.30)\n",
        "d/CMakeLists.txt": "# cmake_minimum_required is below\nif(X)\n  cmake_minimum_required(VERSION 3.1...3.20)\nendif()\n",
        "e/x.cmake": "cmake_minimum_required(VERSION 3.4)\n",
        "f/README": "cmake_minimum_required(VERSION 2.0)\n",
    }
    for name, text in files.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (1_000_000_000, 1_000_000_000))
    return tmp_path / "tree"


def test_only_minimums_below_3_5_are_raised(third_party: Path, tmp_path: Path) -> None:
    before = {p: p.read_text() for p in third_party.rglob("*") if p.is_file()}
    patch_cmake.main(third_party, tmp_path / "ledger")
    after = {str(p.relative_to(third_party)): p.read_text() for p in before if p.read_text() != before[p]}
    assert after == {
        "protobuf/cmake/CMakeLists.txt": "cmake_minimum_required(VERSION 3.5)\n",
        "a/CMakeLists.txt": "CMAKE_MINIMUM_REQUIRED( VERSION 3.5 FATAL_ERROR)\nproject(a)\n",
        "d/CMakeLists.txt": "# cmake_minimum_required is below\nif(X)\n  cmake_minimum_required(VERSION 3.5...3.20)\nendif()\n",
        "e/x.cmake": "cmake_minimum_required(VERSION 3.5)\n",
    }


def test_the_ledger_names_each_file_and_dates_stay(third_party: Path, tmp_path: Path) -> None:
    patch_cmake.main(third_party, tmp_path / "ledger")
    ledger = (tmp_path / "ledger").read_text().splitlines()
    assert ledger == [
        "2.8.12\t3.5\ta/CMakeLists.txt",
        "3.1\t3.5\td/CMakeLists.txt",
        "3.4\t3.5\te/x.cmake",
        "3.1.3\t3.5\tprotobuf/cmake/CMakeLists.txt",
    ]
    assert {p.stat().st_mtime for p in third_party.rglob("*") if p.is_file()} == {1_000_000_000}


def test_run_again_it_changes_nothing_and_keeps_its_ledger(third_party: Path, tmp_path: Path) -> None:
    patch_cmake.main(third_party, tmp_path / "ledger")
    before = (tmp_path / "ledger").read_text()
    patch_cmake.main(third_party, tmp_path / "ledger")
    assert (tmp_path / "ledger").read_text() == before


# -- markers


@pytest.mark.parametrize(
    ("percent", "gems"),
    [
        ("10", "Sapphire"),
        ("15", "Diamond"),
        ("15", "Aquamarine"),
        ("70", "First Harmonic"),
        ("85", "Double Harmonic"),
        ("100", "Triple Harmonic"),
    ],
)
def test_markers_have_the_gems_of_their_milestone(percent: str, gems: str) -> None:
    told = subprocess.run([COMMON / "chonk", percent, "PyTorch MUHNCHED!"], check=True, capture_output=True, text=True).stdout
    assert told.startswith(f"🔹CHONK: [{percent}%] PyTorch MUHNCHED! ")
    assert gems in told
    assert told.count("▰") == int(percent) // 10


# -- the compiler launcher


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
        record = [line.split("\t") for line in (tmp_path / "work/edges.tsv").read_text().splitlines()]
        return [p.returncode for p in started], told, [(row[5], row[4]) for row in record]

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
    assert record == [("make-pch", "0"), ("pch", "1"), ("refused", "0")]


def test_a_file_that_is_wrong_fails_with_the_plain_compiler_s_words(build) -> None:  # type: ignore[no-untyped-def]
    status, told, _ = build(f'{PCH}; case "$*" in *-include-pch*) echo with >&2;; *) echo without >&2;; esac; exit 1')
    assert (status, told) == ([1], ["without\n"])


def test_a_header_that_does_not_compile_is_given_up(build) -> None:  # type: ignore[no-untyped-def]
    status, _, record = build('case "$*" in *c++-header*) exit 1;; *-include-pch*) exit 9;; esac')
    assert status == [0]
    assert record == [("make-pch", "1"), ("plain", "0")]


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


def test_what_the_kernel_killed_runs_again_alone(build, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    # Each edge says when it runs; the second try of the killed one must find no other.
    script = f"""{PCH}
name=$(basename "${{@: -1}}")
if [ -e killed-$name ] || [ "$name" != big.cpp ]; then
  touch running-$name; sleep 0.3; ls running-* >>seen-$name; rm running-$name
else touch killed-$name; sleep 0.1; kill -9 $$; fi"""
    status, _, record = build(script, "a.cpp", "b.cpp", "big.cpp", "c.cpp", "d.cpp")
    assert status == [0] * 5
    assert ("killed", "0") in record
    assert (tmp_path / "seen-big.cpp").read_text() == "running-big.cpp\n"


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
    assert len((tmp_path / "work/edges.tsv").read_text().splitlines()) == 3


# -- the order of the compile

NINJA_FILE = """\
rule cc
  command = echo $out >>order; touch $out c.gch
build all: phony lib
build generated.h: cc
build a.o: cc || generated.h
  FLAGS = -O2
build b/b.o: cc a.cpp || generated.h
  FLAGS = -O1

#############################################
# Another object.

build c$ d.o | c.gch: cc || generated.h
build e.o: cc || generated.h
build lib: cc a.o b/b.o c$ d.o e.o
default all
"""
RECORD = "\n".join(f"{cost}\t0.5\t100\t1\t0\tpch\t{name}" for name, cost in [("a.o", 1.0), ("b/b.o", 30.5), ("e.o", 7.0)]) + "\n"


def started(folder: Path, text: str, record: str, rules: dict[str, Any] = launcher.NO_RULES) -> list[str]:
    """What the real ninja makes of a build file with one job, in its order, once the schedule is in it."""
    (folder / "build.ninja").write_text(text)
    (folder / "record").write_text(record)
    (folder / "a.cpp").touch()
    schedule.main(folder / "build.ninja", folder / "record", 1, 64 << 20, rules)
    command = [Path(sys.executable).with_name("ninja"), "-j1", "all", schedule.ORDER]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    assert "no work to do" in subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout
    return (folder / "order").read_text().splitlines()


def test_ninja_begins_with_the_dearest(tmp_path: Path) -> None:
    order = started(tmp_path, NINJA_FILE, RECORD)
    assert (order[0], order[-1]) == ("generated.h", "lib")
    objects = [name for name in order if name in ("a.o", "b/b.o", "e.o")]
    assert objects == ["b/b.o", "e.o", "a.o"]
    plain = (tmp_path / "build.ninja").read_text().split(schedule.LADDER)[0]
    assert sorted(plain.splitlines()) == sorted(NINJA_FILE.splitlines())


def test_what_is_dear_begins_first_also_where_little_stands_behind_it(tmp_path: Path) -> None:
    """Without the ladder ninja takes the objects of the library first on which another one waits."""
    text = """\
rule cc
  command = echo $out >>order; touch $out
build cheap.o: cc
build first.so: cc cheap.o
build second.so: cc first.so
build third.so: cc second.so dear.o
build dear.o: cc
build all: phony third.so
default all
"""
    record = "1\t0\t1\t1\t0\tpch\tcheap.o\n60\t0\t1\t1\t0\tpch\tdear.o\n"
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "build.ninja").write_text(text)
    subprocess.run([Path(sys.executable).with_name("ninja"), "-j1"], cwd=tmp_path / "plain", check=True, capture_output=True)
    assert (tmp_path / "plain" / "order").read_text().split()[0] == "cheap.o"
    assert started(tmp_path, text, record)[0] == "dear.o"


HEADERS = """\
rule cc
  command = echo $out >>order; touch $out
build all: phony k1.o k2.o k3.o x.dir/1.o x.dir/2.o x.dir/3.o
build k1.o: cc a.cpp
  FLAGS = -DKERNEL=1 -O2
build k2.o: cc a.cpp
  DEFINES = -DKERNEL=1
build k3.o: cc a.cpp
  DEFINES = -DKERNEL=1
build x.dir/1.o: cc a.cpp
build x.dir/2.o: cc a.cpp
build x.dir/3.o: cc a.cpp
"""
HEADER_RULES = {"headers": [{"object": "k", "define": "KERNEL=", "header": "small.h"}, {"object": "x.dir/", "header": "large.h"}]}
HEADER_RECORD = "".join(
    f"{cost}\t0\t1\t1\t0\t{what}\t{name}\n"
    for cost, what, name in [
        *((cost, "pch", f"x.dir/{n}.o") for n, cost in ((1, 20), (2, 30), (3, 10))),
        *((cost, "pch", f"k{n}.o") for n, cost in ((1, 3), (2, 2), (3, 1))),
        (4, "make-pch", "/tree/small-0a1b2c3d4e5f6071.pch"),
        (13, "make-pch", "/tree/large-0a1b2c3d4e5f6071.pch"),
        (12, "make-pch", "/tree/large-1a1b2c3d4e5f6071.pch"),
    ]
)


def test_one_edge_makes_each_header_and_what_need_not_wait_long_for_its_own_comes_then(tmp_path: Path) -> None:
    assert started(tmp_path, HEADERS, HEADER_RECORD, HEADER_RULES) == [
        "x.dir/2.o",
        "k1.o",
        "k2.o",
        "x.dir/1.o",
        "x.dir/3.o",
        "k3.o",
    ]


def test_as_many_as_there_are_jobs_come_before_what_waits() -> None:
    costs, headers = schedule.read_costs(HEADER_RECORD), schedule.read_headers(HEADERS, HEADER_RULES)
    objects = {name: cost for name, cost in costs.items() if name in headers}
    assert headers == dict.fromkeys(["k1.o", "k2.o", "k3.o"], "small") | dict.fromkeys(
        [f"x.dir/{n}.o" for n in (1, 2, 3)], "large"
    )
    order = schedule.order(objects, headers, schedule.read_making(HEADER_RECORD), 2)
    assert order == ["x.dir/2.o", "k1.o", "k2.o", "k3.o", "x.dir/1.o", "x.dir/3.o"]
    assert schedule.order(objects, {}, {}, 2) == sorted(objects, key=lambda name: -objects[name])


AGAIN = [
    *((9, 0, "pch", "twice.o"), (5, 0, "pch", "twice.o")),
    *((2, 1, "pch", "refused.o"), (4, 0, "refused", "refused.o")),
    (3, 1, "pch", "Unity/unity_1_cxx.cxx.o"),
    *((6, 0, "parted", f"Unity/unity_1_cxx.cxx.o.{number}.o") for number in (0, 1)),
    (1, 0, "parted", "Unity/unity_1_cxx.cxx.o"),
]


def test_what_a_refusal_cost_counts_and_what_was_made_again_counts_once(tmp_path: Path) -> None:
    """So a group that is compiled file by file does not begin last in the next build, as if it cost nothing."""
    record = "".join(f"{cost}.5\t0.50\t9\t9\t{status}\t{what}\t{name}\n" for cost, status, what, name in AGAIN)
    costs = {"twice.o": 6, "refused.o": 8, "Unity/unity_1_cxx.cxx.o": 20}
    (tmp_path / "edges.tsv").write_text(record)
    assert schedule.read_costs(record) == read_record(tmp_path / "edges.tsv") == costs


def test_a_record_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "edges.tsv").write_text("1.0\t0.0\t9\t9\t0\tpch\ta.o\nx.o 3\n")
    with pytest.raises(ConfigError, match=r"edges.tsv:2: no line"):
        read_record(tmp_path / "edges.tsv")


def test_an_order_that_stands_is_not_written_again(tmp_path: Path) -> None:
    file, record = tmp_path / "build.ninja", tmp_path / "record"
    file.write_text(NINJA_FILE)
    record.write_text(RECORD)
    schedule.main(file, record, 2, 64 << 20, launcher.NO_RULES)
    first = file.stat()
    assert "b/b.o" in file.read_text().split("a.o")[0]
    schedule.main(file, record, 2, 64 << 20, launcher.NO_RULES)
    assert file.stat().st_mtime_ns == first.st_mtime_ns
    assert file.stat().st_ino == first.st_ino


POOLED = """\
rule cc
  command = touch $out
rule large
  command = mkdir busy && sleep 0.2 && rmdir busy && touch $out
rule CXX_SHARED_LIBRARY_LINKER__x_Release
  command = mkdir linking && sleep 0.2 && rmdir linking && touch $out
build 1.o: large
build 2.o: large
build 3.o: cc
build 4.o: large
  FLAGS = -O1
build x.so: CXX_SHARED_LIBRARY_LINKER__x_Release 3.o
build y.so: CXX_SHARED_LIBRARY_LINKER__x_Release 3.o
build all: phony 1.o 2.o 4.o x.so y.so
default all
"""
PEAKS = "".join(f"1\t0\t{peak}\t1\t0\tpch\t{n}.o\n" for n, peak in [(1, 3 << 20), (2, 2 << 20), (3, 1 << 20), (4, 3 << 20)])


def test_large_edges_and_links_do_not_run_at_once_where_memory_is_short(tmp_path: Path) -> None:
    """Each command of a pool fails beside another of its kind: without the pools the real ninja runs them so."""
    file, record = tmp_path / "build.ninja", tmp_path / "record"
    ninja = [Path(sys.executable).with_name("ninja"), "-j4", "all"]
    file.write_text(POOLED)
    assert subprocess.run(ninja, cwd=tmp_path, capture_output=True).returncode
    for left in ("busy", "linking"):
        (tmp_path / left).rmdir() if (tmp_path / left).exists() else None
    record.write_text(PEAKS)
    schedule.main(file, record, 4, 6 << 20, launcher.NO_RULES)
    assert not subprocess.run(ninja, cwd=tmp_path, capture_output=True).returncode
    schedule.main(file, record, 4, 64 << 20, launcher.NO_RULES)  # the same folder on a larger machine
    assert "pool" not in file.read_text()


@pytest.mark.parametrize(
    ("jobs", "gibibytes", "large", "links"),
    [
        (4, 64, None, None),
        (4, 10, 2, 2),  # two of 3 GiB beside two of 2
        (4, 9, 1, 2),
        (4, 5, 1, 1),
        (4, 1, 1, 1),  # never none: what does not fit then is the launcher's to run alone
        (1, 1, 1, 1),
    ],
)
def test_a_pool_is_as_deep_as_memory_allows(jobs: int, gibibytes: int, large: int | None, links: int | None) -> None:
    text = schedule.pooled(POOLED, schedule.read_peaks(PEAKS), jobs, gibibytes << 20)
    found = dict(re.findall(r"pool arrstack_(\w+)\n  depth = (\d+)", text))
    assert found == {name: str(depth) for name, depth in (("large", large), ("links", links)) if depth}
    assert schedule.OURS.sub("", text) == POOLED


@pytest.mark.parametrize(
    "text",
    ["", "build other.o: cc\n", NINJA_FILE.replace("build e.o", "FLAGS = -O3\nbuild e.o")],
    ids=["empty", "nothing that the record names", "a variable between them"],
)
def test_what_cannot_be_ordered_stays_as_it_is(text: str) -> None:
    assert schedule.ordered(text, list(schedule.read_costs(RECORD))) == text
