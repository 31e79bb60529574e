"""CUDA objects by clang: which options it gets, what each pass makes and keeps, and what happens where it fails."""

import json
import os
from pathlib import Path

import pytest

from tests.unit.image_programs.programs import COMMON, RECIPE, program
from tests.unit.image_programs.test_nvcc import NVCC, TOOL, compiled, nvcc, nvcc_plan, tools, write

clang_cuda, clang_headers, launcher = program("clang_cuda"), program("clang_headers"), program("launcher")
__all__ = ["tools"]  # a fixture

CLANG = """#!/bin/sh
case " $* " in
  *" -### "*)
    printf ' "%s" "-cc1"' "$0" >&2
    for word; do
      case $word in
        --cuda-gpu-arch=*) printf ' "-target-cpu" "%s"' "${{word#*=}}" >&2 ;;
        -MF) printf ' "-dependency-file"' >&2 ;;
        -c) printf ' "-emit-obj"' >&2 ;;
        *.cu) printf ' "-include" "__clang_cuda_runtime_wrapper.h" "-x" "cuda"' >&2; source=$word ;;
        -x | cuda | -### | --cuda-* | -Xclang | -M*) ;;
        *) printf ' "%s"' "$word" >&2 ;;
      esac
    done
    printf ' "%s"\\n' "$source" >&2
    exit ;;
esac
kind=host out= dep= pch= arch=
for word; do
  case $last in -o) out=$word ;; -dependency-file) dep=$word ;; -include-pch) pch=" with a header" ;; -target-cpu) arch=" -arch=$word" ;; esac
  case $word in -S) kind=device ;; -emit-pch) kind=header ;; esac
  last=$word
done
echo "clang-$kind$arch$pch" >>"{log}"
{special}
echo "x: a.cu a.h" >"$dep"
echo "clang $kind" >"$out"
"""


@pytest.fixture
def clang(tools: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of `tools`, with a clang whose the object a.o is."""
    write(tools / "bin/clang++", CLANG.format(log=tools / "log", special=""))
    (tools / "plan").mkdir()
    (tools / "plan/objects.tsv").write_text("a.o\tclang\t4 kernels\nb.o\tnvcc\tmore stack\n")
    for name in ("a.cu", "a.h", "cuda.h"):
        (tools / name).write_text(name)
    for name, value in {
        "PLAN_CXX": "clang++",
        "CUDA_TOOLKIT": "/cuda",
        "ARRSTACK_CLANG_CUDA": str(tools / "plan"),
        "ARRSTACK_CLANG_ID": "this clang",
        "ARRSTACK_CLANG_HEADER": str(tools / "cuda.h"),
    }.items():
        monkeypatch.setenv(name, value)
    return tools


def test_each_pass_has_its_header_and_nvccs_front_end_does_not_run(clang: Path) -> None:
    assert compiled(clang, 80, 90) == [
        "clang-header -arch=sm_80",
        "clang-device -arch=sm_80",
        "ptxas -arch=sm_80",
        "clang-header -arch=sm_90",
        "clang-device -arch=sm_90",
        "ptxas -arch=sm_90",
        "fatbinary",
        "clang-header",
        "clang-host",
    ]
    assert (clang / "log").read_text().count("with a header") == 3
    assert (clang / "a.o").read_text() == "clang host\n"
    assert (clang / "a.o.d").read_text().split() == ["a.o:", "a.cu", "\\", "a.h"]


def test_an_architecture_more_costs_that_one_and_the_host_s_pass(clang: Path) -> None:
    compiled(clang, 90)
    ran = compiled(clang, 80, 90)
    assert ran == ["clang-header -arch=sm_80", "clang-device -arch=sm_80", "ptxas -arch=sm_80", "fatbinary", "clang-host"]


def test_what_a_changed_header_makes_is_made_again_and_what_it_made_before_is_found(clang: Path) -> None:
    compiled(clang, 90)
    (clang / "a.h").write_text("changed")
    assert "clang-device -arch=sm_90" in compiled(clang, 90)
    (clang / "a.h").write_text("a.h")
    assert "clang-device -arch=sm_90" not in compiled(clang, 90)


def test_the_mended_headers_are_searched_before_all_others(clang: Path) -> None:
    write(clang / "bin/clang++", CLANG.format(log=clang / "log", special=f'echo "$*" >>{clang}/said'))
    argv = [str(clang / "bin/nvcc"), "-gencode", "arch=compute_90,code=sm_90", "-I/others", "-c", "a.cu", "-o", "a.o"]
    assert nvcc.main(argv) == 0
    said = (clang / "said").read_text().splitlines()
    assert len(said) == 4
    assert all(line.index(f"-I{clang}/plan/include ") < line.index("-I/others ") for line in said)


def test_a_header_holds_nothing_of_the_object_it_is_made_for() -> None:
    line = "clang -cc1 -emit-obj -main-file-name a.cu -fcuda-include-gpubinary /t/packed.fatbin -dependency-file /t/host.d -o a.o -x cuda a.cu"
    wanted = "clang -cc1 -emit-pch -main-file-name cuda.h -dependency-file x.d -o x -x cuda -fno-pch-timestamp /h/cuda.h"
    assert clang_cuda.making_pch(line.split(), "/h/cuda.h", "x", "x.d") == wanted.split()


def test_a_kept_pass_says_what_it_read(clang: Path) -> None:
    """The host's pass may read less."""
    write(clang / "bin/clang++", CLANG.format(log=clang / "log", special='[ "$kind" = device ] || dep=/dev/null'))
    compiled(clang, 90)
    compiled(clang, 90)
    assert (clang / "a.o.d").read_text().split() == ["a.o:", "a.cu", "\\", "a.h"]


def test_another_clang_makes_its_passes_again(clang: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(clang, 90)
    monkeypatch.setenv("ARRSTACK_CLANG_ID", "another")
    assert "clang-device -arch=sm_90" in compiled(clang, 90)


def test_an_object_of_nvcc_s_is_left_to_it(clang: Path) -> None:
    (clang / "plan/objects.tsv").write_text("a.o\tnvcc\tmore stack\n")
    assert not any(line.startswith("clang") for line in compiled(clang, 90))


def test_a_pass_that_a_header_does_not_fit_runs_without_it(clang: Path) -> None:
    write(clang / "bin/clang++", CLANG.format(log=clang / "log", special='[ "$kind" != header ] || exit 1'))
    ran = compiled(clang, 90)
    assert ran.count("clang-device -arch=sm_90") == 1
    assert (clang / "a.o").read_text() == "clang host\n"
    assert "with a header" not in (clang / "log").read_text()


@pytest.mark.parametrize("end", ["kill -9 $$", "{ echo 'error: No space left on device' >&2; exit 1; }"])
def test_what_ends_the_making_of_a_header_from_outside_is_no_word_against_it(clang: Path, end: str) -> None:
    write(clang / "bin/clang++", CLANG.format(log=clang / "log", special=f'[ "$kind" != header ] || {end}'))
    compiled(clang, 90)
    write(clang / "bin/clang++", CLANG.format(log=clang / "log", special=""))
    assert compiled(clang, 80, 90)[-2:] == ["clang-header", "clang-host"]


def test_where_clang_fails_nvcc_makes_the_object_and_the_log_says_why(clang: Path, capfd: pytest.CaptureFixture[str]) -> None:
    special = '[ "$kind" != device ] || { echo "a.cu:3: error: no such thing" >&2; exit 1; }'
    write(clang / "bin/clang++", CLANG.format(log=clang / "log", special=special))
    ran = compiled(clang, 90)
    assert ran[-1] == "g++"
    assert (clang / "a.o").read_text().startswith("g++")
    assert "a.o: nvcc compiles it, not clang: device compute_90: a.cu:3: error: no such thing" in capfd.readouterr().err


def test_where_there_is_no_clang_nvcc_makes_the_object(clang: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAN_CXX", "no-such-clang")
    assert "cicc -arch compute_90" in compiled(clang, 90)


def test_an_option_that_is_not_known_leaves_the_object_to_nvcc(clang: Path, capfd: pytest.CaptureFixture[str]) -> None:
    argv = [str(clang / "bin/nvcc"), "--use_fast_math", "-gencode", "arch=compute_90,code=sm_90", "-c", "a.cu", "-o", "a.o"]
    assert nvcc.main(argv) == 0
    assert "nvcc compiles it, not clang: what --use_fast_math means to clang is not known here" in capfd.readouterr().err


def test_a_pass_that_the_kernel_kills_is_said_as_that(clang: Path) -> None:
    write(clang / "bin/clang++", CLANG.format(log=clang / "log", special='[ "$kind" != device ] || kill -9 $$'))
    (clang / "log").write_text("")
    argv = [str(clang / "bin/nvcc"), "-gencode", "arch=compute_90,code=sm_90", "-c", "a.cu", "-o", "a.o"]
    assert nvcc.main(argv) == nvcc.KILLED
    assert (clang / "log").read_text().count("clang-device") == 1, "not once more at once: it would be killed again"


def test_options_are_clang_s_own() -> None:
    argv = "nvcc -forward-unknown-to-host-compiler -DX=1 -D Y -I/i -isystem /s -Xfatbin -compress-all -gencode arch=compute_90,code=sm_90"
    argv += " -Xcudafe --diag_suppress=x --expt-relaxed-constexpr -Wno-deprecated-gpu-targets -O3 -DNDEBUG -std=c++17 -Xcompiler=-fPIC"
    argv += " -Xcompiler -Wall,-fvisibility=hidden -ccbin=/g++ -MD -MT a.o -MF a.o.d -x cu -c /a.cu -o a.o"
    wanted = "-DX=1 -D Y -I/i -isystem /s -O3 -DNDEBUG -std=c++17 -fPIC -fvisibility=hidden"
    assert clang_cuda.translated(argv.split()) == wanted.split()


@pytest.mark.parametrize(
    "words", [["-lineinfo"], ["--maxrregcount=64"], ["-Xcompiler", "-fopenmp"], ["-Xcompiler=-march=native"], ["-Wp,-DX"]]
)
def test_an_option_that_changes_code_otherwise_is_refused(words: list[str]) -> None:
    with pytest.raises(nvcc_plan.Unknown, match="is not known here"):
        clang_cuda.translated(["nvcc", *words, "-c", "a.cu"])


def test_the_cache_is_told_whose_an_object_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "objects.tsv").write_text("x/a.o\tclang\t\na.o\tnvcc\t\n")
    monkeypatch.setenv("ARRSTACK_CLANG_CUDA", str(tmp_path))
    assert [launcher.by_clang(name) for name in ("x/a.o", "a.o", "b.o")] == [True, False, False]
    monkeypatch.delenv("ARRSTACK_CLANG_CUDA")
    assert not launcher.by_clang("x/a.o")


def test_a_header_is_mended_where_it_is_as_the_mend_expects(tmp_path: Path) -> None:
    for name, text in (("one/a.h", "old old"), ("two/a.h", "other"), ("two/b.h", "new already")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    mends = {"a.h": [["old", "new"]], "b.h": [["old", "new"]], "c.h": [["x", "y"]]}
    assert clang_headers.write(tmp_path / "out", mends, [tmp_path / "one", tmp_path / "two"]) == ["b.h", "c.h"]
    assert [str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")] == ["a.h"]
    assert (tmp_path / "out/a.h").read_text() == "new new"
    date = (tmp_path / "out/a.h").stat().st_mtime_ns
    os.utime(tmp_path / "one/a.h")
    clang_headers.write(tmp_path / "out", mends, [tmp_path / "one", tmp_path / "two"])
    assert (tmp_path / "out/a.h").stat().st_mtime_ns == date, "an unchanged copy keeps its date"


def test_the_mends_of_torch_are_pairs_that_differ() -> None:
    mends = json.loads((RECIPE / "build/torch/clang-headers.json").read_text())
    assert all(len(pair) == 2 and pair[0] != pair[1] for pairs in mends.values() for pair in pairs)
    assert (COMMON / "clang_headers.py").stat().st_mode & 0o100


def test_what_nvcc_makes_after_clang_gave_up_is_nvcc_s_alone(clang: Path) -> None:
    """The second time too, when what nvcc's parts made is kept."""
    special = '[ "$kind" != host ] || { echo "a.cu:3: error: no such thing" >&2; exit 1; }'
    write(clang / "bin/clang++", CLANG.format(log=clang / "log", special=special))
    packed = TOOL.format(log=clang / "log", special=f'cat "${{1#*file=}}" >{clang}/packed')
    write(clang / "bin/fatbinary", packed)
    write(clang / "bin/nvcc", NVCC.replace("fatbinary --", "fatbinary --image3=kind=elf,sm=$a,file=$t-7${a}_a$n.cubin --"))
    compiled(clang, 90)
    first = (clang / "packed").read_text()
    compiled(clang, 90)
    assert first.split() == ["ptxas", "cicc", "g++"]
    assert (clang / "packed").read_text() == first


def test_a_copy_that_is_no_longer_made_goes(tmp_path: Path) -> None:
    """The folder is an earlier build's, of another version of the source: clang would read that version's header."""
    (tmp_path / "one").mkdir()
    for name in ("a.h", "b.h"):
        (tmp_path / "one" / name).write_text("old")
    mends = {"a.h": [["old", "new"]], "b.h": [["old", "new"]]}
    clang_headers.write(tmp_path / "out", mends, [tmp_path / "one"])
    (tmp_path / "one/a.h").write_text("mended by its authors")
    assert clang_headers.write(tmp_path / "out", {"a.h": mends["a.h"]}, [tmp_path / "one"]) == ["a.h"]
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_pass_whose_list_of_files_names_one_that_is_gone_is_not_kept(clang: Path) -> None:
    (clang / "a.h").unlink()
    compiled(clang, 90)
    assert "clang-device -arch=sm_90" in compiled(clang, 90)
    assert (clang / "a.o").read_text() == "clang host\n"
