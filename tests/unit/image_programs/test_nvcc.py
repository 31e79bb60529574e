"""nvcc taken apart: what is kept, what is made again, what happens where it fails."""

import errno
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from arrstack.compiler_cache import ENTRY
from tests.unit.image_programs.programs import program

identity, kept, nvcc_plan, parts = (program(name) for name in ("identity", "kept", "nvcc_plan", "parts"))
slots = program("slots")
nvcc = program("nvcc")

TOOL = """#!/bin/sh
name=$(basename "$0")
echo "$name $*" >>"{log}"
{special}
out= dep= inputs=
while [ $# -gt 0 ]; do
  case $1 in
    -o) out="$out $2"; shift ;;
    --gen_c_file_name | --stub_file_name | --module_id_file_name) case $2 in */* | *.o) [ -e "$2" ] || out="$out $2" ;; esac; shift ;;
    -MF) echo "x: a.cu a.h" >"$2"; shift ;;
    --embedded-fatbin=*) out="$out ${{1#*=}}" ;;
    *.ii | *.ptx | *.cpp) inputs="$inputs $1" ;;
  esac
  shift
done
for file in $out; do {{ echo "$name"; cat $inputs; }} >"$file"; done
"""

NVCC = """#!/bin/sh
archs="" output= dry=
for word; do
  case $word in
    arch=*) archs="$archs ${word##*sm_}" ;;
    --dryrun) dry=1 ;;
    *.o) output=$word ;;
  esac
done
if [ -z "$dry" ]; then echo whole >"$output"; exit; fi
t="$TMPDIR/tmpxft_0000$$_00000000"
last=${archs##* }
case $archs in *" "*" "*) many=1 ;; *) many= ;; esac
list=$(echo $archs | sed 's/ /0,/g')0
echo "#$ _SPACE_= "
echo "#$ NVVM=there"
for a in $archs; do
  n=${many:+.compute_$a}
  echo "#$ g++ -D__CUDA_ARCH__=${a}0 -D__CUDA_ARCH_LIST__=$list -E a.cu -o \\"$t-1${a}_a$n.cpp1.ii\\""
done
n=${many:+.compute_$last}
echo "#$ g++ -D__CUDA_ARCH_LIST__=$list -E a.cu -o \\"$t-5_a.cpp4.ii\\""
echo "#$ -- Filter Dependencies -- > a.d"
echo "#$ cudafe++ --gen_c_file_name \\"$t-6_a$n.cudafe1.cpp\\" --stub_file_name \\"$(basename $t)-6_a$n.cudafe1.stub.c\\"" \\
  "--module_id_file_name \\"$t-4_a.module_id\\" \\"$t-5_a.cpp4.ii\\""
for a in $archs; do
  n=${many:+.compute_$a} k=6$a
  [ "$a" != "$last" ] || k=6
  echo "#$ cicc -arch compute_$a --module_id_file_name \\"$t-4_a.module_id\\" --stub_file_name \\"$t-${k}_a$n.cudafe1.stub.c\\"" \\
    "\\"$t-1${a}_a$n.cpp1.ii\\" -o \\"$t-${k}_a$n.ptx\\""
  echo "#$ ptxas -arch=sm_$a \\"$t-${k}_a$n.ptx\\" -o \\"$t-7${a}_a$n.cubin\\""
done
echo "#$ fatbinary --embedded-fatbin=\\"$t-3_a.fatbin.c\\""
echo "#$ rm $t-3_a.fatbin"
n=${many:+.compute_$last}
echo "#$ g++ -D__CUDA_ARCH__=${last}0 -c -x c++ \\"$t-6_a$n.cudafe1.cpp\\" -o $output"
"""

Compile = Callable[..., int]


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nvcc and its tools as scripts that note their calls; in the folder of their log."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("g++", "cudafe++", "cicc", "ptxas", "fatbinary"):
        write(folder / name, TOOL.format(log=tmp_path / "log", special=""))
    write(folder / "nvcc", NVCC)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("ARRSTACK_WORK", str(tmp_path))
    monkeypatch.setenv("CCACHE_DIR", str(tmp_path / "ccache"))
    monkeypatch.setenv("ARRSTACK_NVCC_ID", "these tools")
    monkeypatch.setenv("ARRSTACK_CUDA_NAMESPACE", "one")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def generated(*archs: int) -> list[str]:
    return [word for arch in archs for word in ("-gencode", f"arch=compute_{arch},code=sm_{arch}")]


def compiled(folder: Path, *archs: int) -> list[str]:
    """Compiles for these architectures; what ran: tools, with the architecture."""
    log = folder / "log"
    log.write_text("")
    assert (
        nvcc.main([str(folder / "bin/nvcc"), *generated(*archs), "-MD", "-MT", "a.o", "-MF", "a.o.d", "-c", "a.cu", "-o", "a.o"])
        == 0
    )
    lines = log.read_text().splitlines()
    return [" ".join([line.split()[0], *re.findall(r"-arch[= ]\w+", line)]) for line in lines]


def test_every_part_runs_and_the_object_comes_out(tools: Path) -> None:
    ran = compiled(tools, 90)
    assert ran == ["g++", "g++", "cudafe++", "cicc -arch compute_90", "ptxas -arch=sm_90", "fatbinary", "g++"]
    assert (tools / "a.o").read_text().startswith("g++")
    assert (tools / "a.o.d").read_text().split() == ["a.o:", "a.cu", "\\", "a.h"]


def test_what_is_the_same_is_not_made_again(tools: Path) -> None:
    compiled(tools, 80, 90)
    first = (tools / "a.o").read_bytes()
    assert compiled(tools, 80, 90) == ["g++", "g++", "g++", "fatbinary", "g++"]
    assert (tools / "a.o").read_bytes() == first


@pytest.mark.parametrize("added", [75, 100])
def test_an_architecture_more_costs_that_one_alone(tools: Path, added: int) -> None:
    compiled(tools, 90)
    ran = compiled(tools, *sorted([90, added]))
    assert [line for line in ran if line[0] == "c" or line[0] == "p"] == [
        f"cicc -arch compute_{added}",
        f"ptxas -arch=sm_{added}",
    ]


def test_the_list_of_architectures_is_in_no_command(tools: Path) -> None:
    compiled(tools, 80, 90)
    log = (tools / "log").read_text()
    assert "__CUDA_ARCH_LIST__=one" in log
    assert "__CUDA_ARCH_LIST__=800" not in log


def test_another_program_may_pack_the_code_and_nothing_else_is_made_again(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(tools, 80, 90)
    write(tools / "bin/newer", TOOL.format(log=tools / "log", special=""))
    monkeypatch.setenv("ARRSTACK_FATBINARY", "newer --compress-mode=size")
    assert compiled(tools, 80, 90) == ["g++", "g++", "g++", "newer", "g++"]
    assert "newer --compress-mode=size --embedded-fatbin=" in (tools / "log").read_text()


def test_another_compiler_makes_everything_again(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(tools, 90)
    monkeypatch.setenv("ARRSTACK_NVCC_ID", "others")
    assert "cicc -arch compute_90" in compiled(tools, 90)


def test_each_part_is_recorded(tools: Path) -> None:
    compiled(tools, 90)
    compiled(tools, 90)
    rows = parts.read((tools / "parts.tsv").read_text())
    assert [row.what for row in rows][:7] == ["preprocess", "preprocess", "cudafe", "cicc", "ptxas", "fatbinary", "host"]
    assert [row.what for row in rows][9:12] == ["kept cudafe", "kept cicc", "kept ptxas"]
    assert rows[3][6:8] == ("a.o", "compute_90")
    assert rows[3].digest == rows[10].digest != ""


def test_a_record_of_something_else_is_refused_with_its_line() -> None:
    with pytest.raises(parts.RecordError, match="line 1 is none of a record of parts"):
        parts.read("1.0\t2.0\n")


def test_an_architecture_takes_the_ptx_that_is_known_to_be_the_same(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tools / "same.tsv").write_text("b.o\tcompute_80=compute_90\na.o\tcompute_75=compute_86\tcompute_80=compute_89=compute_90\n")
    monkeypatch.setenv("ARRSTACK_SAME_PTX", str(tools / "same.tsv"))
    ran = compiled(tools, 80, 89)
    assert ran == [
        "g++",
        "g++",
        "g++",
        "cudafe++",
        "cicc -arch compute_80",
        "ptxas -arch=sm_80",
        "ptxas -arch=sm_89",
        "fatbinary",
        "g++",
    ]
    assert "cicc -arch compute_89" in compiled(tools, 86, 89)


def test_of_those_with_the_same_ptx_the_kept_one_is_taken(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled(tools, 90)
    (tools / "same.tsv").write_text("a.o\tcompute_80=compute_89=compute_90\n")
    monkeypatch.setenv("ARRSTACK_SAME_PTX", str(tools / "same.tsv"))
    ran = compiled(tools, 75, 80, 89, 90)
    assert [line for line in ran if line[0] in "cp"] == [
        "cicc -arch compute_75",
        "ptxas -arch=sm_75",
        "ptxas -arch=sm_80",
        "ptxas -arch=sm_89",
    ]


def test_of_a_sample_both_are_made_and_a_difference_is_said(
    tools: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tools / "same.tsv").write_text("a.o\tcompute_80=compute_89=compute_90\n")
    monkeypatch.setenv("ARRSTACK_SAME_PTX", str(tools / "same.tsv"))
    monkeypatch.setattr(nvcc, "SAMPLE", 1)
    write(tools / "bin/cicc", TOOL.format(log=tools / "log", special="").replace('echo "$name"; cat', 'echo "$2"; cat'))
    write(
        tools / "bin/cicc",
        (tools / "bin/cicc")
        .read_text()
        .replace("name=$(basename", "arch=$2 name=$(basename")
        .replace('echo "$2"', 'echo "$arch"'),
    )
    assert "cicc -arch compute_89" in compiled(tools, 80, 89)
    assert "compute_89 has other PTX than compute_80" in capfd.readouterr().err
    assert (tools / "same.wrong").exists()
    monkeypatch.setattr(nvcc, "SAMPLE", 1 << 300)
    assert "cicc -arch compute_90" in compiled(tools, 80, 90)


def test_the_shared_ptx_names_the_architecture_that_takes_it(tmp_path: Path) -> None:
    (tmp_path / "a.compute_80.ptx").write_text(".version 8.4\n.target sm_80, debug\n.target sm_80\n")
    made = nvcc.Compilation(str(tmp_path), "a.o", str(tmp_path), None, "")
    part = nvcc_plan.Part("share", "compute_89", ["sm_89", f"{tmp_path}/a.compute_80.ptx", f"{tmp_path}/a.compute_89.ptx"])
    assert made.do(part, {}) == 0
    assert (tmp_path / "a.compute_89.ptx").read_text() == ".version 8.4\n.target sm_89, debug\n.target sm_80\n"


def test_architectures_are_made_at_once_where_processors_are_idle(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three jobs, one of them this edge's: of three architectures each cicc waits until all three run."""
    meet = f'touch {tools}/met-$$; for try in $(seq 500); do [ "$(ls {tools} | grep -c met-)" -lt 3 ] || break; sleep 0.02; done; [ $try != 500 ]'
    meet += " || exit 1"
    write(tools / "bin/cicc", TOOL.format(log=tools / "log", special=meet))
    monkeypatch.setenv("ARRSTACK_JOBS", "3")
    monkeypatch.setattr(slots, "memory", lambda: 12 * slots.PART_KIB)
    held = slots.take(str(tools))
    ran = compiled(tools, 80, 89, 90)
    assert sorted(line for line in ran if line[0] == "c") == [f"cicc -arch compute_{arch}" for arch in (80, 89, 90)] + [
        "cudafe++"
    ]
    assert held is not None
    slots.give_back(held)


@pytest.mark.parametrize(("how", "jobs", "at_once"), [("at once", "1", 3), ("in turn", "1", 1), ("at once", "", 1)])
def test_an_object_that_the_others_wait_for_makes_its_architectures_at_once(
    tools: Path, monkeypatch: pytest.MonkeyPatch, how: str, jobs: str, at_once: int
) -> None:
    """No processor is idle. Without jobs to count it is the try of an object that was killed, alone."""
    count = f"$(ls {tools} | grep -c runs-)"
    running = f"touch {tools}/runs-$$; for try in $(seq 500); do [ {count} -lt {at_once} ] || break; sleep 0.02; done\n"
    running += f"echo {count} >>{tools}/counts; sleep 0.2; rm {tools}/runs-$$"
    write(tools / "bin/cicc", TOOL.format(log=tools / "log", special=running))
    monkeypatch.setenv("ARRSTACK_JOBS", jobs)
    slots.write_ahead(str(tools), {"a.o": how == "at once"})
    held = slots.take(str(tools))
    compiled(tools, 80, 89, 90)
    assert max(map(int, (tools / "counts").read_text().split())) == at_once
    if held is not None:
        slots.give_back(held)


def test_a_list_of_what_is_ahead_that_was_cut_off_stops_nothing(tmp_path: Path) -> None:
    assert slots.read_ahead(str(tmp_path)) == {}
    slots.write_ahead(str(tmp_path), {"a.cu.o": True, "b.o": False})
    whole = tmp_path / slots.AHEAD_FILE
    whole.write_text(whole.read_text()[:-8])
    assert slots.read_ahead(str(tmp_path)) == {"a.cu.o": True, "b.o": False}


@pytest.mark.parametrize("jobs", ["", "1", "2"])
def test_none_is_idle_where_edges_hold_every_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: str) -> None:
    monkeypatch.setenv("ARRSTACK_JOBS", jobs)
    monkeypatch.setattr(slots, "memory", lambda: 1 << 40)
    held = [slots.take(str(tmp_path)) for _ in range(2)]
    assert slots.take_idle(str(tmp_path)) is None
    for file in held:
        if file is not None:
            slots.give_back(file)


def test_only_as_many_are_taken_besides_as_there_is_memory_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARRSTACK_JOBS", "8")
    monkeypatch.setattr(slots, "memory", lambda: 5 * slots.PART_KIB)
    found = [slots.take_idle(str(tmp_path)) for _ in range(4)]
    assert [file is not None for file in found] == [True, True, False, False]
    for file in filter(None, found):
        slots.give_back(file)
    assert slots.take_idle(str(tmp_path)) is not None


def test_a_part_that_fails_beside_others_is_the_one_that_is_named(
    tools: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    fail = 'case "$*" in *compute_80*) echo "error: kernel of 80" >&2; exit 2 ;; esac'
    write(tools / "bin/cicc", TOOL.format(log=tools / "log", special=fail))
    monkeypatch.setenv("ARRSTACK_JOBS", "4")
    monkeypatch.setattr(slots, "memory", lambda: 1 << 40)
    assert nvcc.main([str(tools / "bin/nvcc"), *generated(75, 80, 90), "-c", "a.cu", "-o", "a.o"]) == 0
    assert "nvcc compiles it whole: cicc compute_80: error: kernel of 80" in capfd.readouterr().err


def test_the_digest_of_device_code_knows_no_architecture_and_no_folder(tmp_path: Path) -> None:
    digests = []
    for arch in ("compute_80", "compute_89"):
        folder = tmp_path / arch
        folder.mkdir()
        ptx, stub = folder / f"a.{arch}.ptx", folder / f"a.{arch}.cudafe1.stub.c"
        ptx.write_text(f".version 8.4\n.target sm_{arch[8:]}\n mov.u32 %r1, 1;\n")
        stub.write_text(f'# 1 "{stub}"\nstatic void nv_dummy();\n# 27 "{stub}"\n')
        made = nvcc.Compilation(str(folder), "a.o", str(tmp_path), None, "")
        made.note("cicc", nvcc_plan.Part("cicc", arch, ["cicc", "--stub_file_name", str(stub), "-o", str(ptx)]))
        digests.append(made.digests[arch])
    assert digests[0] == digests[1]
    ptx.write_text(f".version 8.4\n.target sm_{arch[8:]}\n mov.u32 %r1, 2;\n")
    made.note("cicc", nvcc_plan.Part("cicc", arch, ["cicc", "--stub_file_name", str(stub), "-o", str(ptx)]))
    assert made.digests[arch] != digests[0]


def test_a_part_that_the_kernel_kills_is_said_as_that_and_the_others_stay(tools: Path) -> None:
    write(tools / "bin/ptxas", "#!/bin/sh\nkill -9 $$\n")
    assert nvcc.main([str(tools / "bin/nvcc"), "-gencode", "arch=compute_90,code=sm_90", "-c", "a.cu", "-o", "a.o"]) == 137
    write(tools / "bin/ptxas", TOOL.format(log=tools / "log", special=""))
    assert "cicc -arch compute_90" not in compiled(tools, 90)


def test_where_a_part_fails_nvcc_compiles_it_whole_and_says_why(tools: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tools / "bin/cicc", "#!/bin/sh\necho 'error: a strange kernel' >&2\nexit 2\n")
    assert nvcc.main([str(tools / "bin/nvcc"), "-gencode", "arch=compute_90,code=sm_90", "-c", "a.cu", "-o", "a.o"]) == 0
    assert (tools / "a.o").read_text() == "whole\n"
    assert "nvcc compiles it whole: cicc compute_90: error: a strange kernel" in capfd.readouterr().err


def test_where_a_tool_is_not_there_nvcc_compiles_it_whole(tools: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tools / "bin/cicc").unlink()
    assert nvcc.main([str(tools / "bin/nvcc"), "-gencode", "arch=compute_90,code=sm_90", "-c", "a.cu", "-o", "a.o"]) == 0
    assert (tools / "a.o").read_text() == "whole\n"
    assert "nvcc compiles it whole: [Errno 2] No such file or directory: 'cicc'" in capfd.readouterr().err


def test_where_what_a_part_made_is_no_text_nvcc_compiles_it_whole(tools: Path) -> None:
    write(tools / "bin/cicc", TOOL.format(log=tools / "log", special="").replace('echo "$name"; cat', "printf '\\351'; cat"))
    assert nvcc.main([str(tools / "bin/nvcc"), "-gencode", "arch=compute_90,code=sm_90", "-c", "a.cu", "-o", "a.o"]) == 0
    assert (tools / "a.o").read_text() == "whole\n"


def test_a_plan_with_an_unknown_tool_is_left_to_nvcc() -> None:
    with pytest.raises(nvcc_plan.Unknown, match="nvlink"):
        nvcc_plan.parse('#$ nvlink "/tmp/tmpxft_00000001_00000000-3_a.o"\n')


def test_a_command_that_names_a_variable_of_the_plan_gets_its_value() -> None:
    """CUDA 13 calls cicc so."""
    plan = '#$ CICC_PATH=/cuda/nvvm/bin\n#$ $CICC_PATH/cicc -arch compute_90 "a$b.ii"\n#$ g++ -c a.cpp -o a.o\n'
    _, found = nvcc_plan.parse(plan)
    assert found[0].argv == ["/cuda/nvvm/bin/cicc", "-arch", "compute_90", "a$b.ii"]


def test_warnings_for_the_host_compiler_stay_away_from_it() -> None:
    line = "nvcc -O3 -Xcompiler=-fPIC,-Wall -Xcompiler -Wall -Wextra -Wunused-private-field -Wno-deprecated-gpu-targets -Xcompiler -fopenmp"
    assert nvcc_plan.without_host_warnings(line.split()) == (
        "nvcc -O3 -Xcompiler=-fPIC -Wno-deprecated-gpu-targets -Xcompiler -fopenmp".split()
    )


@pytest.mark.parametrize(("same", "whose"), [("", "compute_90"), ("a.o\tcompute_80=compute_90\n", "compute_80")])
def test_the_host_s_code_gets_the_stubs_of_the_last_architecture(
    tools: Path, monkeypatch: pytest.MonkeyPatch, same: str, whose: str
) -> None:
    (tools / "same.tsv").write_text(same)
    monkeypatch.setenv("ARRSTACK_SAME_PTX", str(tools / "same.tsv"))
    says = TOOL.format(log=tools / "log", special="").replace("name=$(basename", "arch=$2 name=$(basename")
    write(tools / "bin/cicc", says.replace('echo "$name"; cat', 'echo "$arch"; cat'))
    special = f'case "$*" in *" -c "*) cp "$TMPDIR/a.cudafe1.stub.c" {tools}/stub ;; esac'
    write(tools / "bin/g++", TOOL.format(log=tools / "log", special=special))
    compiled(tools, 80, 90)
    assert (tools / "stub").read_text().split()[0] == whose


def test_what_a_failed_part_left_is_not_kept(tools: Path) -> None:
    works = (tools / "bin/cicc").read_text()
    write(tools / "bin/cicc", works + "exit 1\n")
    compiled(tools, 90)
    write(tools / "bin/cicc", works)
    assert "cicc -arch compute_90" in compiled(tools, 90)


@pytest.mark.parametrize("end", ["kill -9 $$", "exit 9"])
def test_a_whole_compile_that_the_kernel_kills_is_said_as_that(tools: Path, end: str) -> None:
    """nvcc says of a tool that was killed the signal's number."""
    write(tools / "bin/cicc", "#!/bin/sh\nexit 2\n")
    write(tools / "bin/nvcc", NVCC.replace('echo whole >"$output"; exit', end))
    assert (
        nvcc.main([str(tools / "bin/nvcc"), "-gencode", "arch=compute_90,code=sm_90", "-c", "a.cu", "-o", "a.o"]) == nvcc.KILLED
    )


def test_what_was_read_is_told_of_the_target_that_was_asked_for(tools: Path) -> None:
    argv = [str(tools / "bin/nvcc"), "-gencode", "arch=compute_90,code=sm_90", "-MD", "-MT", "x/b.o", "-MF", "b.d", "-c", "a.cu"]
    assert nvcc.main([*argv, "-o", "a.o"]) == 0
    assert (tools / "b.d").read_text().startswith("x/b.o: a.cu ")


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ('#$ cicc "/t/tmpxft_1_0-6_a.ptx" "/t/tmpxft_1_0-7_a.ptx"\n', "two files between the parts have one name"),
        ('#$ cicc -arch compute_90 "/t/tmpxft_1_0-6_a.ptx"\n', "does not end with the host's compilation"),
        ("#$ g++ -c a.cpp -o a.o\n", "makes no device code"),
    ],
)
def test_a_plan_of_another_kind_is_left_to_nvcc(plan: str, why: str) -> None:
    with pytest.raises(nvcc_plan.Unknown, match=why):
        nvcc_plan.parse(plan)


def test_what_begins_like_a_warning_and_is_none_stays() -> None:
    """Options for the preprocessor and the assembler, and what nvcc itself shall take for an error, whose kind is a word of its own."""
    line = "nvcc -Wp,-D_FORTIFY_SOURCE=2 -Wa,--noexecstack -Werror all-warnings,reorder -c a.cu"
    assert nvcc_plan.without_host_warnings(line.split()) == line.split()
    assert nvcc_plan.without_host_warnings("nvcc -Werror -c a.cu".split()) == "nvcc -c a.cu".split()


def test_a_kept_part_is_named_as_the_compiler_cache_names_its_own_and_so_moves_with_it(tmp_path: Path) -> None:
    store = kept.Store(str(tmp_path))
    store.put("ab" * 32, {"a.ptx": b"one", "a.c": b"two\n"})
    assert store.get("ab" * 32) == {"a.ptx": b"one", "a.c": b"two\n"}
    names = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(names) == 1
    assert ENTRY.fullmatch(names[0])


def test_a_damaged_part_is_none(tmp_path: Path) -> None:
    store = kept.Store(str(tmp_path))
    store.put("cd" * 32, {"a.ptx": b"one"})
    path = next(path for path in tmp_path.rglob("*") if path.is_file())
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert store.get("cd" * 32) is None
    assert not path.exists()


def test_thrusts_namespace_has_one_name_only_where_nothing_else_reads_the_list(tmp_path: Path) -> None:
    for name in identity.NAMESPACES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("__CUDA_ARCH_LIST__")
    assert identity.namespace_for([str(tmp_path)]) == ("arrstack", "")
    for name in ("other.cuh", "other.hh", "other.ipp", "other.inc", "other.cc"):
        (tmp_path / name).write_text("#if __CUDA_ARCH_LIST__")
        assert identity.namespace_for([str(tmp_path)]) == ("", str(tmp_path / name))
        (tmp_path / name).unlink()


def test_the_identity_changes_with_a_tool_and_with_the_namespace(tmp_path: Path) -> None:
    (tmp_path / "cicc").write_text("1")
    first = identity.of([str(tmp_path)], "one")
    assert identity.of([str(tmp_path)], "two") != first
    (tmp_path / "cicc").write_text("2")
    assert identity.of([str(tmp_path)], "one") != first


def test_the_identity_changes_with_what_a_link_in_a_folder_leads_to(tmp_path: Path) -> None:
    """Debian's /usr/lib/cuda/nvvm/libdevice, which clang reads, is a link."""
    (tmp_path / "there").mkdir()
    (tmp_path / "there/libdevice.10.bc").write_text("1")
    (tmp_path / "nvvm").mkdir()
    (tmp_path / "nvvm/libdevice").symlink_to("../there")
    (tmp_path / "nvvm/itself").symlink_to(".")
    first = identity.of([str(tmp_path / "nvvm")], "one")
    (tmp_path / "there/libdevice.10.bc").write_text("2")
    assert identity.of([str(tmp_path / "nvvm")], "one") != first


@pytest.mark.parametrize("tool", ["cicc", "empty", "cc1plus"])
def test_a_tool_that_is_not_there_is_an_error(tmp_path: Path, tool: str) -> None:
    """A host compiler that knows no path of its cc1plus answers with the bare name."""
    (tmp_path / "empty").mkdir()
    asked = tool if tool == "cc1plus" else str(tmp_path / tool)
    with pytest.raises(SystemExit, match=f"error: there is no {asked}:"):
        nvcc.main(["--identity", asked])


def test_a_part_that_the_cache_removes_while_it_is_read_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = kept.Store(str(tmp_path))
    store.put("ef" * 32, {"a.ptx": b"one"})
    read = Path.read_bytes

    def removed(path: Path) -> bytes:
        held = read(path)
        path.unlink()
        return held

    monkeypatch.setattr(Path, "read_bytes", removed)
    assert store.get("ef" * 32) == {"a.ptx": b"one"}


def test_a_part_for_which_the_disk_has_no_room_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        kept.Store(str(tmp_path)).put("ef" * 32, {"a.ptx": b"one"})
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
