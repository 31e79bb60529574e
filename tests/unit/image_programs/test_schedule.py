"""The order of the compile, by the real ninja."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.image_programs.programs import COMMON, program

edges, launcher, schedule, slots = program("edges"), program("launcher"), program("schedule"), program("slots")

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


def test_gpu_code_that_no_record_has_begins_first(tmp_path: Path) -> None:
    text = NINJA_FILE.replace("build e.o: cc", "build kernel.cu.o: cc\nbuild e.o: cc").replace("lib: cc", "lib: cc kernel.cu.o")
    assert [name for name in started(tmp_path, text, RECORD) if name.endswith(".o")][:2] == ["kernel.cu.o", "b/b.o"]


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
HEADER_ENTRIES = edges.read(HEADER_RECORD)


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
    costs, headers = edges.costs(HEADER_ENTRIES), schedule.read_headers(HEADERS, HEADER_RULES)
    objects = {name: cost for name, cost in costs.items() if name in headers}
    assert headers == dict.fromkeys(["k1.o", "k2.o", "k3.o"], "small") | dict.fromkeys(
        [f"x.dir/{n}.o" for n in (1, 2, 3)], "large"
    )
    order = schedule.order(objects, headers, schedule.header_costs(HEADER_ENTRIES), 2)
    assert order == ["x.dir/2.o", "k1.o", "k2.o", "k3.o", "x.dir/1.o", "x.dir/3.o"]
    assert schedule.order(objects, {}, {}, 2) == sorted(objects, key=lambda name: -objects[name])


COSTS = {"a.cu.o": 90.0, "b.cu.o": 50.0, "c.cpp.o": 40.0, "d.cu.o": 20.0}
GIB = 1 << 20


@pytest.mark.parametrize(
    ("jobs", "gibibytes", "found"),
    [
        (1, 640, {}),  # none is above three quarters of all
        (2, 640, {"a.cu.o": True}),
        (4, 128, {"a.cu.o": True, "b.cu.o": True, "c.cpp.o": False}),
        (4, 64, {"a.cu.o": True, "b.cu.o": False, "c.cpp.o": False}),
        (4, 28, {"a.cu.o": False, "b.cu.o": True, "c.cpp.o": False}),
        (4, 8, {}),  # all of them would have to wait for memory
    ],
)
def test_the_others_give_way_to_what_would_end_last(jobs: int, gibibytes: int, found: dict[str, bool]) -> None:
    """A part of b takes one and a half GiB, of a, which no record has, what a part is allowed for."""
    parts, peaks = {"a.cu.o": 3, "b.cu.o": 5, "d.cu.o": 5}, {"b.cu.o": 3 * GIB // 2}
    assert schedule.ahead(COSTS, peaks, parts, jobs, gibibytes * GIB) == found


def test_what_is_ahead_is_written_for_the_launcher(tmp_path: Path) -> None:
    kernel = "build kernel.cu.o: cc\n  FLAGS = -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=[sm_90]\n"
    (tmp_path / "build.ninja").write_text(NINJA_FILE.replace("build e.o: cc", kernel + "build e.o: cc"))
    (tmp_path / "record").write_text(RECORD + "300\t0\t2097152\t1\t0\tapart\tkernel.cu.o\n")
    for jobs, gibibytes, found in ((16, 64, {"kernel.cu.o": True, "b/b.o": False}), (16, 3, {})):
        schedule.main(tmp_path / "build.ninja", tmp_path / "record", jobs, gibibytes * GIB, launcher.NO_RULES, str(tmp_path))
        assert slots.read_ahead(str(tmp_path)) == found


def test_an_object_of_clang_s_makes_one_architecture_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gencode = "  FLAGS = -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90\n"
    kernels = "".join(f"build {name}.cu.o: cc\n{gencode}" for name in ("one", "two"))
    (tmp_path / "build.ninja").write_text(NINJA_FILE.replace("build e.o: cc", kernels + "build e.o: cc"))
    (tmp_path / "record").write_text("".join(f"300\t0\t2097152\t1\t0\tapart\t{name}.cu.o\n" for name in ("one", "two")))
    (tmp_path / "objects.tsv").write_text("one.cu.o\tclang\t0.4\n")
    monkeypatch.setenv("ARRSTACK_CLANG_CUDA", str(tmp_path))
    schedule.main(tmp_path / "build.ninja", tmp_path / "record", 16, 64 * GIB, launcher.NO_RULES, str(tmp_path))
    assert slots.read_ahead(str(tmp_path)) == {"one.cu.o": False, "two.cu.o": True}


def test_a_record_that_is_none_ends_it_with_a_sentence_and_the_file_stays(tmp_path: Path) -> None:
    (tmp_path / "build.ninja").write_text(NINJA_FILE)
    (tmp_path / "record").write_text(RECORD + "x.o 3\n")
    called = subprocess.run(
        [sys.executable, COMMON / "schedule.py", "build.ninja", "record", "2"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (called.returncode, called.stderr) == (1, "error: record: line 4 is none of a record of edges: x.o 3\n")
    assert (tmp_path / "build.ninja").read_text() == NINJA_FILE


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
    text = schedule.pooled(POOLED, edges.peaks(edges.read(PEAKS)), jobs, gibibytes << 20)
    found = dict(re.findall(r"pool arrstack_(\w+)\n  depth = (\d+)", text))
    assert found == {name: str(depth) for name, depth in (("large", large), ("links", links)) if depth}
    assert schedule.OURS.sub("", text) == POOLED


@pytest.mark.parametrize(
    "text",
    ["", "build other.o: cc\n", NINJA_FILE.replace("build e.o", "FLAGS = -O3\nbuild e.o")],
    ids=["empty", "nothing that the record names", "a variable between them"],
)
def test_what_cannot_be_ordered_stays_as_it_is(text: str) -> None:
    assert schedule.ordered(text, list(edges.costs(edges.read(RECORD)))) == text
