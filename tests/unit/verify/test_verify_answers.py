"""Will it run on my GPU, on my machine? And when is there nothing that could be judged?"""

import dataclasses
import io
import tarfile
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pytest
from verify_builders import E, container, elf, fatbin, library, ptx

from arrstack.errors import ConfigError, VerificationError
from arrstack.verify import load_policy, require_pass, verify
from arrstack.verify.gpus import find_gpus, load_gpus

MakeWheel = Callable[..., Path]


def answer(data: bytes, model: str, tmp_path: Path) -> str:
    (tmp_path / "libx.so").write_bytes(data)
    [said] = verify(tmp_path / "libx.so", gpus=[model]).as_dict()["answers"].values()
    return str(said)


def test_machine_code_of_a_lower_minor_version_is_named(tmp_path: Path) -> None:
    assert answer(library(75, 80, 86, 90), "L4", tmp_path) == "L4 (sm_89): runs, by sm_86 code"


def test_native_code_is_named_and_beats_everything(tmp_path: Path) -> None:
    assert answer(library(80, 89, with_ptx=[89]), "L4", tmp_path) == "L4 (sm_89): runs, by sm_89 code"
    data = container([E(2, 90), E(2, 90, "a")])
    assert answer(elf({".nv_fatbin": data}), "H100", tmp_path) == "H100 (sm_90): runs, by sm_90a code"


def test_ptx_is_named_by_the_version_of_its_language_and_by_its_driver(tmp_path: Path) -> None:
    data = elf({".nv_fatbin": container([E(2, 70), E(1, 75, isa=(8, 4)), E(1, 80, isa=(9, 0))])})
    assert answer(data, "L4", tmp_path) == (
        "L4 (sm_89): runs, by PTX 9.0 compiled at first use (compute_80; the driver must be that of CUDA 13.0 or newer)"
    )
    assert answer(data, "T4", tmp_path).startswith("T4 (sm_75): runs, by sm_70 code")


def test_ptx_of_a_language_newer_than_the_table_says_its_version(tmp_path: Path) -> None:
    data = elf({".nv_fatbin": container([E(1, 80, isa=(99, 1))])})
    assert "the driver must be that of PTX ISA 99.1 or newer" in answer(data, "L4", tmp_path)


def test_what_does_not_run_is_said_so(tmp_path: Path) -> None:
    assert answer(library(90, with_ptx=[90]), "L4", tmp_path) == "L4 (sm_89): does not run"


def test_a_processor_that_is_not_the_common_one_is_said_beside_the_answer(tmp_path: Path) -> None:
    assert answer(library(86, machine=183), "L4", tmp_path) == (
        "L4 (sm_89): runs, by sm_86 code, on a machine with an aarch64 processor"
    )


def test_libraries_that_differ_and_units_that_do_worse_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.so").write_bytes(library(89))
    (tmp_path / "b.so").write_bytes(library(86))
    report = verify(tmp_path, gpus=["L4"])
    assert report.answer("L4") == "L4 (sm_89): runs, by sm_86 code (otherwise in 1 of 2 libraries)"
    (tmp_path / "a.so").write_bytes(elf({".nv_fatbin": fatbin(86) * 3 + fatbin(90)}))
    assert verify(tmp_path, gpus=["L4"]).answer("L4") == "L4 (sm_89): runs, by sm_86 code (less for 1 of 5 units)"


def test_the_library_that_does_worst_answers_for_the_whole(tmp_path: Path) -> None:
    (tmp_path / "a.so").write_bytes(library(89))
    (tmp_path / "b.so").write_bytes(library(75))
    assert verify(tmp_path, gpus=["L4"]).answer("L4") == "L4 (sm_89): does not run (otherwise in 1 of 2 libraries)"


def test_without_a_question_every_known_gpu_is_answered(tmp_path: Path) -> None:
    (tmp_path / "libx.so").write_bytes(library(80))
    assert verify(tmp_path / "libx.so").as_dict()["answers"].keys() == load_gpus().keys()


def test_the_question_for_a_gpu_asks_for_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "libx.so").write_bytes(library(86))
    good, bad = verify(tmp_path / "libx.so", gpus=["L4", "A10"]), verify(tmp_path / "libx.so", gpus=["L4", "T4"])
    assert (good.passed, good.verdict) == (True, "PASS  runs on L4, A10")
    assert (bad.passed, bad.verdict) == (False, "FAIL  does not run on T4")
    assert (good.as_dict()["asked"], good.as_dict()["policy"]["is_exact"]) == (["L4", "A10"], False)
    with pytest.raises(VerificationError, match="it does not run on T4"):
        require_pass(bad)


def test_a_gpu_and_a_list_are_both_asked_for(tmp_path: Path) -> None:
    (tmp_path / "libx.so").write_bytes(library(86))
    assert verify(tmp_path / "libx.so", ["8.6"], gpus=["L4"]).passed
    assert verify(tmp_path / "libx.so", ["8.9"], gpus=["L4"]).verdict.startswith("FAIL  not exactly the list asked for")
    assert verify(tmp_path / "libx.so", ["8.6"], gpus=["T4"]).verdict == "FAIL  does not run on T4"


def test_a_vendors_library_runs_as_its_best_one_does(make_wheel: MakeWheel) -> None:
    files = {"nvidia/libcudnn_a.so.9": library(50), "nvidia/libcudnn_b.so.9": elf({".nv_fatbin": fatbin(80) + fatbin(50) * 3})}
    report = verify(make_wheel(files))
    assert report.answer("L4") == "L4 (sm_89): runs, by sm_80 code (otherwise in 1 of 2 libraries)"
    assert report.answer("T4") == "T4 (sm_75): does not run"


def test_the_question_for_a_gpu_fails_where_there_is_no_gpu_code(tmp_path: Path) -> None:
    (tmp_path / "libx.so").write_bytes(elf({}))
    report = verify(tmp_path / "libx.so", gpus=["L4"])
    assert (report.passed, report.gpus) == (False, {})
    assert "there is no GPU code in it" in report.verdict


@pytest.mark.parametrize(
    ("text", "model", "capability"),
    [
        ("L4", "L4", (8, 9)),
        ("l4", "L4", (8, 9)),
        (" NVIDIA L4 ", "L4", (8, 9)),
        ("rtx4090", "RTX 4090", (8, 9)),
        ("GeForce RTX 2080 Ti", "RTX 2080 Ti", (7, 5)),
        ("8.7", "8.7", (8, 7)),
        ("sm_121", "sm_121", (12, 1)),
    ],
)
def test_a_gpu_is_found_as_people_write_it(text: str, model: str, capability: tuple[int, int]) -> None:
    assert dict(find_gpus([text])) == {model: capability}


def test_several_gpus_stand_in_one_list_or_in_several() -> None:
    assert list(find_gpus(["L4,T4;H100", "8.0"])) == ["L4", "T4", "H100", "8.0"]


@pytest.mark.parametrize("text", ["banana", "L5", "8", "sm_", "8.9x"])
def test_a_gpu_that_is_not_known_is_an_error_of_usage_that_names_those_that_are(text: str) -> None:
    with pytest.raises(ConfigError, match="no GPU that this program knows") as caught:
        find_gpus([text])
    assert "L4, L40S" in caught.value.hint


def test_the_verdict_says_what_was_judged(tmp_path: Path, make_wheel: MakeWheel) -> None:
    (tmp_path / "libx.so").write_bytes(library(80, 70))
    assert verify(tmp_path / "libx.so", ["8.0", "8.9+PTX"]).verdict == (
        "FAIL  not exactly the list asked for, sm_80, sm_89, compute_89: missing: sm_89, compute_89; not asked for: sm_70"
    )
    assert verify(tmp_path / "libx.so", ["7.0", "8.0"]).verdict == "PASS  exactly sm_70, sm_80"
    assert verify(make_wheel({"nvidia/libnccl.so.2": library(50)})).verdict == (
        "PASS  reported, not judged: a vendor's libraries"
    )
    assert verify(make_wheel({"x.so": elf({})})).verdict == "PASS  there is no GPU code in it, and none was asked for"
    (tmp_path / "libx.so").write_bytes(library(80)[:-1])
    assert verify(tmp_path / "libx.so").verdict.startswith("FAIL  libx.so: truncated")


# -- what it needs of the machine


def needs(make_wheel: MakeWheel, files: dict[str, bytes], name: str = "thing-1.0-py3-none-any.whl") -> dict[str, str]:
    return dict(verify(make_wheel(files, name)).needs)


def test_the_processor_is_needed(make_wheel: MakeWheel) -> None:
    assert needs(make_wheel, {"x.so": elf({}, machine=183)})["cpu"] == "aarch64"
    assert needs(make_wheel, {"x.so": elf({}), "y.so": elf({}), "z.so": elf({}, machine=183)})["cpu"] == "x86-64, aarch64"
    assert "cpu" not in needs(make_wheel, {"x.py": b""})


def test_the_family_of_the_c_library_is_needed(make_wheel: MakeWheel) -> None:
    assert needs(make_wheel, {"x.so": elf({}, needed=["libc.so.6"])})["libc"] == "glibc"
    assert needs(make_wheel, {"x.so": elf({}, needed=["libc.musl-x86_64.so.1"])})["libc"] == "musl"
    assert needs(make_wheel, {"x.so": elf({})}, "x-1-cp39-abi3-musllinux_1_2_x86_64.whl")["libc"] == "musl"
    assert needs(make_wheel, {"x.so": elf({})}, "x-1-cp39-abi3-manylinux_2_17_x86_64.whl")["libc"] == "glibc"
    assert "libc" not in needs(make_wheel, {"x.so": elf({})})


def test_musl_is_not_called_a_library_from_elsewhere(make_wheel: MakeWheel) -> None:
    report = verify(make_wheel({"x.so": elf({}, needed=["libc.musl-x86_64.so.1"])}))
    assert not any("elsewhere" in problem.message for problem in report.problems)


def test_the_python_of_a_wheel_is_needed(make_wheel: MakeWheel) -> None:
    assert needs(make_wheel, {"x.so": elf({})}, "x-1-cp311-cp311-linux_x86_64.whl")["python"] == "cp311"
    assert needs(make_wheel, {"x.so": elf({})}, "x-1-7-cp39-abi3-linux_x86_64.whl")["python"] == "cp39-abi3"
    tags = b"Wheel-Version: 1.0\nTag: cp310-cp310-linux_x86_64\nTag: cp311-cp311-linux_x86_64\n"
    assert needs(make_wheel, {"x.so": elf({}), "x-1.dist-info/WHEEL": tags})["python"] == "cp310, cp311"


def test_the_python_of_a_folder_is_told_by_its_extension_modules(tmp_path: Path) -> None:
    (tmp_path / "_C.cpython-313-x86_64-linux-gnu.so").write_bytes(elf({}))
    (tmp_path / "_D.abi3.so").write_bytes(elf({}))
    assert verify(tmp_path).needs["python"] == "abi3, cp313"


def test_a_tag_of_another_processor_than_the_libraries_is_an_error(make_wheel: MakeWheel) -> None:
    report = verify(make_wheel({"x.so": elf({}, machine=183)}, "x-1-cp311-cp311-linux_x86_64.whl"))
    assert report.verdict.endswith("its tag says x86-64, its libraries are for aarch64")
    assert report.errors[0].hint == "pip installs it where it cannot be loaded"
    assert verify(make_wheel({"x.so": elf({}, machine=183)}, "x-1-cp311-cp311-manylinux_2_17_aarch64.whl")).passed


def test_libraries_for_several_processors_are_a_warning(make_wheel: MakeWheel) -> None:
    report = verify(make_wheel({"x.so": elf({}), "y.so": elf({}, machine=183), "z.so": elf({})}))
    assert [problem.message for problem in report.problems if problem.level.value == "warning"] == [
        "its libraries are for several processors: x86-64 (2), aarch64 (1)"
    ]


# -- a pass needs something that was read

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 900000000\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (LFS, "a Git LFS pointer"),
        (bytes(100_000), "its first 4096 bytes are zeros"),
        (b"garbage" * 100, "ELF file"),
        (b"\xff\xfe", "ELF file"),
    ],
    ids=["pointer", "zeros", "garbage", "short"],
)
def test_a_library_that_is_none_fails_wherever_it_lies(
    content: bytes, message: str, tmp_path: Path, make_wheel: MakeWheel
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "libtorch_cuda.so").write_bytes(content)
    (folder / "libgood.so").write_bytes(library(80))
    for target in (folder / "libtorch_cuda.so", folder, make_wheel({"libtorch_cuda.so": content, "g.so": library(80)})):
        report = verify(target, ["8.0"])
        assert not report.passed
        assert any(message in problem.message and problem.path == "libtorch_cuda.so" for problem in report.errors)


@pytest.mark.parametrize("name", ["libx.a", "x.o", "x.cubin", "x.fatbin", "x.ptx", "x.so.1.2"])
def test_a_pointer_of_git_lfs_is_an_error_under_every_name_of_a_binary(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(LFS)
    (tmp_path / "libgood.so").write_bytes(library(80))
    assert "a Git LFS pointer" in verify(tmp_path, ["8.0"]).verdict


def test_other_files_may_be_pointers_and_linker_scripts_are_no_libraries(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(LFS)
    (tmp_path / "libc.so").write_bytes(b"/* GNU ld script */\nGROUP ( /lib/libc.so.6 )\n")
    (tmp_path / "empty.so").write_bytes(b"")
    (tmp_path / "libgood.so").write_bytes(library(80))
    assert verify(tmp_path, ["8.0"]).passed


@pytest.mark.parametrize(
    "script", [b"/* ld */", b"INPUT(libx.a)", b"GROUP ( a )", b"OUTPUT_FORMAT(elf64-x86-64)", b"\n  /* x */"]
)
def test_a_linker_script_is_no_finding(script: bytes, tmp_path: Path) -> None:
    (tmp_path / "libx.so").write_bytes(script)
    (tmp_path / "libgood.so").write_bytes(library(80))
    assert verify(tmp_path, ["8.0"]).problems == ()


@pytest.mark.parametrize("name", ["a.so", "a.so.1.2", "a.so.1-b.so", ".so"])
def test_what_is_named_as_a_library_and_is_none_is_an_error(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"text")
    (tmp_path / "libgood.so").write_bytes(library(80))
    assert verify(tmp_path, ["8.0"]).verdict == f"FAIL  {name}: named as a library, but not an ELF file"


@pytest.mark.parametrize("name", ["a.so.txt", "a.sound", "aso", "a.so.1.py"])
def test_what_is_not_named_as_a_library_is_no_finding(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"text")
    (tmp_path / "libgood.so").write_bytes(library(80))
    assert verify(tmp_path, ["8.0"]).problems == ()


def test_placeholders_are_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.so").write_bytes(LFS)
    (tmp_path / "b.so").write_bytes(bytes(10))
    told = [(problem.path, problem.message, problem.hint) for problem in verify(tmp_path).problems]
    assert told == [
        ("a.so", "a Git LFS pointer, not the file that it stands for", "fetch that: git lfs pull"),
        ("b.so", "not a binary: its first 10 bytes are zeros", "get it again"),
    ]


def test_a_vendors_library_by_its_path_is_not_judged(tmp_path: Path) -> None:
    (tmp_path / "nvidia").mkdir()
    (tmp_path / "nvidia/libfoo.so").write_bytes(library(50))
    assert verify(tmp_path / "nvidia/libfoo.so", ["8.0"]).passed
    assert verify(tmp_path, ["8.0"]).passed
    assert not verify(tmp_path / "nvidia", ["8.0"]).passed


def test_a_file_of_ptx_alone_runs_on_any_processor(tmp_path: Path) -> None:
    (tmp_path / "x.ptx").write_bytes(ptx(80))
    report = verify(tmp_path / "x.ptx", gpus=["L4"])
    assert report.answer("L4").startswith("L4 (sm_89): runs, by PTX 8.4 compiled at first use (compute_80; ")


def test_a_folder_without_any_library_is_no_pass(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    assert verify(tmp_path).verdict.endswith("there is no library in it: nothing could be judged")


def test_a_zip_that_is_no_wheel_and_holds_no_library_is_no_pass(make_wheel: MakeWheel) -> None:
    assert verify(make_wheel({"notes.txt": b"hello"}, "docs.zip")).verdict.endswith("nothing could be judged")


def test_a_wheel_of_python_alone_passes_and_says_so(make_wheel: MakeWheel) -> None:
    report = verify(make_wheel({"x/__init__.py": b"pass"}))
    assert report.passed
    assert [(problem.message, problem.hint) for problem in report.problems] == [("there is no GPU code in it", "")]


def test_what_holds_windows_libraries_alone_is_no_pass(make_wheel: MakeWheel) -> None:
    report = verify(make_wheel({"x/torch_cuda.dll": b"MZ" + bytes(100)}, "x-1-cp311-cp311-win_amd64.whl"))
    assert report.verdict.endswith("it holds programs for Windows or macOS alone, which are not read")


def sdist(path: Path, members: Sequence[str], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name in members:
            tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    return path


def test_an_archive_of_sources_is_to_be_built_first(tmp_path: Path) -> None:
    for name, mode in (("einops-0.8.0.tar.gz", "w:gz"), ("einops-0.8.0.tar", "w"), ("einops-0.8.0.tar.xz", "w:xz")):
        report = verify(sdist(tmp_path / name, ["einops-0.8.0/a.py", "einops-0.8.0/PKG-INFO"], mode))
        assert report.verdict == f"FAIL  {name}: source: build it first"


def test_an_archive_is_known_by_its_content_too(tmp_path: Path) -> None:
    report = verify(sdist(tmp_path / "x-1", ["x-1/PKG-INFO"], "w"))
    assert report.verdict == "FAIL  x-1: source: build it first"


def test_an_archive_of_anything_else_is_to_be_unpacked(tmp_path: Path) -> None:
    for members in (["bin/x"], ["a/b/PKG-INFO"], ["PKG-INFO"]):
        report = verify(sdist(tmp_path / "x.tar.gz", members))
        assert report.verdict == "FAIL  x.tar.gz: an archive, which is not looked into"


def test_a_tree_of_sources_is_to_be_built_first(tmp_path: Path, make_wheel: MakeWheel) -> None:
    (tmp_path / "pyproject.toml").write_text("")
    assert verify(tmp_path).verdict.endswith("source: build it first")
    assert verify(make_wheel({"x-1/PKG-INFO": b"", "x-1/x.py": b""}, "x-1.zip")).verdict.endswith("source: build it first")


# -- a folder of wheels


def test_each_wheel_of_a_folder_is_judged_on_its_own(tmp_path: Path, make_wheel: MakeWheel) -> None:
    make_wheel({"x/_C.so": library(80)}, "good-1-py3-none-any.whl")
    make_wheel({"x/_C.so": library(70)}, "bad-1-py3-none-any.whl")
    make_wheel({"x/__init__.py": b""}, "pure-1-py3-none-any.whl")
    report = verify(tmp_path, ["8.0"])
    assert {wheel.target: wheel.passed for wheel in report.wheels} == {
        "bad-1-py3-none-any.whl": False,
        "good-1-py3-none-any.whl": True,
        "pure-1-py3-none-any.whl": True,
    }
    assert report.verdict == "FAIL  1 of 3 wheels in it: bad-1-py3-none-any.whl"
    told = report.as_dict()
    assert [wheel["verdict"] for wheel in told["wheels"]] == ["fail", "pass", "pass"]
    assert told["wheels"][0]["missing"] == {"sm_80": ["x/_C.so"]}
    (tmp_path / "bad-1-py3-none-any.whl").unlink()
    assert verify(tmp_path, ["8.0"]).verdict == "PASS  each of the 2 wheels in it"


def test_a_folder_of_wheels_without_gpu_code_fails_where_some_was_asked_for(tmp_path: Path, make_wheel: MakeWheel) -> None:
    make_wheel({"x/_C.so": elf({})})
    assert verify(tmp_path).passed
    assert not verify(tmp_path, ["8.0"]).passed
    assert not verify(tmp_path, gpus=["L4"]).passed


def test_a_wheel_of_a_folder_that_cannot_be_read_fails_it(tmp_path: Path) -> None:
    (tmp_path / "x-1-py3-none-any.whl").write_bytes(b"garbage")
    assert verify(tmp_path).verdict == "FAIL  1 of 1 wheels in it: x-1-py3-none-any.whl"
    (tmp_path / "x-1-py3-none-any.whl").write_bytes(LFS)
    with pytest.raises(VerificationError, match="a Git LFS pointer"):
        require_pass(verify(tmp_path))


def test_an_sdist_beside_wheels_is_a_note(tmp_path: Path, make_wheel: MakeWheel) -> None:
    make_wheel({"x/_C.so": library(80)})
    sdist(tmp_path / "x-1.tar.gz", ["x-1/PKG-INFO"])
    report = verify(tmp_path, ["8.0"])
    assert report.passed
    assert [(problem.level.value, problem.path) for problem in report.problems] == [("note", "x-1.tar.gz")]


def test_a_folder_of_sources_alone_is_to_be_built_first(tmp_path: Path) -> None:
    sdist(tmp_path / "x-1.tar.gz", ["x-1/PKG-INFO"])
    assert verify(tmp_path).verdict.endswith("source: build it first")


def test_wheels_in_wheels_are_read_to_a_depth(make_wheel: MakeWheel) -> None:
    inner = make_wheel({"x/_C.so": library(80)}, "a-1-py3-none-any.whl").read_bytes()
    for number in range(3):
        report = verify(make_wheel({"a-1-py3-none-any.whl": inner}, f"b{number}-1-py3-none-any.whl"), ["8.0"])
        assert report.passed is (number < 2)
        inner = make_wheel({"a-1-py3-none-any.whl": inner}, "c-1-py3-none-any.whl").read_bytes()
    with pytest.raises(VerificationError, match="wheels in it"):
        require_pass(report)


def test_a_torchvision_without_gpu_code_beside_a_torch_wheel_with_it_fails(tmp_path: Path, make_wheel: MakeWheel) -> None:
    version = b"__version__ = '1'\ngit_version = 'x'\n"
    make_wheel({"torchvision/version.py": version, "torchvision/_C.so": elf({})}, "torchvision-1-py3-none-any.whl")
    assert verify(tmp_path).passed
    make_wheel({"torch/version.py": version, "torch/_C.so": library(80)}, "torch-1-py3-none-any.whl")
    assert verify(tmp_path, ["8.0"]).verdict == "FAIL  1 of 2 wheels in it: torchvision-1-py3-none-any.whl"


# -- --deep


def disassembler(status: int, lines: Sequence[str]) -> Callable[[Sequence[str]], Generator[str, None, int]]:
    def disassemble(command: Sequence[str]) -> Generator[str, None, int]:
        yield from lines
        return status

    return disassemble


def test_a_disassembler_that_fails_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "libx.so").write_bytes(elf({}))
    lines = ["<_Z1fv>:", "\tret", "objdump: libx.so: file truncated"]
    report = verify(tmp_path / "libx.so", [], disassemble=disassembler(1, lines))
    message = "objdump ended with status 1: not all of it was disassembled (objdump: libx.so: file truncated)"
    assert [problem.message for problem in report.errors] == [message]
    assert verify(tmp_path / "libx.so", [], disassemble=disassembler(0, lines)).passed
    report = verify(tmp_path / "libx.so", [], disassemble=disassembler(2, []))
    assert [problem.message for problem in report.errors] == ["objdump ended with status 2: not all of it was disassembled"]


def test_instructions_beyond_the_baseline_are_told_with_the_functions(tmp_path: Path) -> None:
    (tmp_path / "libx.so").write_bytes(elf({}))
    (tmp_path / "arm.so").write_bytes(elf({}, machine=183))
    lines = ["0000 <_Z1gv>:", "\tmulx %rax,%rbx,%rcx", "\tandn %eax,%ebx,%ecx", "<_Z1fv>:", "\tvaddps %ymm0,%ymm1,%ymm2", "\tret"]
    lines += [
        "<_ZN4AVX21fEv>:",
        "\tvaddps %ymm0,%ymm1,%ymm2",
        "<_Z1hv>:",
        "\tmov %rax,%rbx",
        "<_Z1gv>:",
        "\tpdepq %rax,%rbx,%rcx",
    ]
    asked: list[Sequence[str]] = []

    def disassemble(command: Sequence[str]) -> Generator[str, None, int]:
        asked.append(command)
        yield from lines
        return 0

    message = (
        "2 functions outside of the kernels' namespaces use instructions beyond x86-64's baseline: _Z1fv (vaddps), _Z1gv (mulx)"
    )
    hint = "harmless where they ask the CPU first, SIGILL on an old one where they do not"
    told = [(problem.path, problem.message, problem.hint) for problem in verify(tmp_path, [], disassemble=disassemble).problems]
    assert ("libx.so", message, hint) in told
    verify(tmp_path / "libx.so", [], disassemble=disassemble)
    options = ["objdump", "-d", "--no-show-raw-insn", "--no-addresses"]
    assert asked == [[*options, str(tmp_path / "libx.so")], [*options, str(tmp_path / "libx.so")]]


def test_deep_says_which_wheels_it_did_not_look_into(tmp_path: Path, make_wheel: MakeWheel) -> None:
    make_wheel({"x/_C.so": elf({})})
    report = verify(tmp_path, [], disassemble=disassembler(0, []))
    assert ["not searched for instructions" in problem.message for problem in report.problems] == [True]
    with pytest.raises(ConfigError, match="--deep needs files on disk"):
        verify(make_wheel({"x/_C.so": elf({})}), disassemble=disassembler(0, []))


# -- images


def test_a_file_that_only_is_called_a_library_fails_an_image_where_it_is_ours() -> None:
    from test_verify_images import TORCH, Held, tar_of

    theirs = verify(Held([tar_of({TORCH: library(80), "usr/lib/libx.so": b"junk"})]), ["8.0"])
    assert [(problem.level.value, problem.path) for problem in theirs.problems] == [("warning", "usr/lib/libx.so")]
    assert theirs.passed
    ours = verify(Held([tar_of({TORCH: bytes(100), TORCH.replace("_cuda", ""): library(80)})]), ["8.0"])
    assert ours.verdict == f"FAIL  {TORCH}: not a binary: its first 100 bytes are zeros"


def test_a_wheel_in_an_image_is_looked_into_and_judged_as_the_image_is(make_wheel: MakeWheel) -> None:
    from test_verify_images import Held, tar_of

    ours = make_wheel({"torch/lib/libtorch_cuda.so": library(70)}, "torch-2-cp311-cp311-linux_x86_64.whl").read_bytes()
    theirs = make_wheel({"x/_C.so": library(70)}, "x-2-cp311-cp311-linux_x86_64.whl").read_bytes()
    image = Held([tar_of({"torch-2-cp311-cp311-linux_x86_64.whl": ours, "x-2-cp311-cp311-linux_x86_64.whl": theirs})])
    report = verify(image, ["8.0"])
    assert {wheel.target.split("-")[0]: wheel.passed for wheel in report.wheels} == {"torch": False, "x": True}


def test_a_strict_policy_holds_for_the_wheels_of_a_folder(tmp_path: Path, make_wheel: MakeWheel) -> None:
    make_wheel({"x/_C.so": library(80, runpath="/home/me/build")})
    assert verify(tmp_path, ["8.0"]).passed
    assert not verify(tmp_path, ["8.0"], dataclasses.replace(load_policy(), strict=True)).passed
