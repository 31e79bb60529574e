"""Fat binaries of NVIDIA's own tools against NVIDIA's own lister, entry by entry; and the tests' builders against both."""

import re
import shutil
import subprocess
import tomllib
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from verify_builders import LZ4, ZSTD, E, archive, bundle, container, elf
from verify_downloads import download

from arrstack.artifacts.blob import FileBlob
from arrstack.verify import verify
from arrstack.verify.entries import Compression, Kind
from arrstack.verify.entry_code import check_cubin, read_code
from arrstack.verify.library import read_library

DATA = Path(__file__).parents[2] / "data" / "verify"
ARCHITECTURES = ("75", "80", "86", "89", "90", "90a", "100", "100a", "100f", "103", "120", "121")
PTX = """.version 9.0
.target sm_{arch}
.address_size 64
.visible .entry axpy(.param .u64 x, .param .f32 a)
{{
  .reg .b64 %rd<3>; .reg .f32 %f<4>;
  ld.param.u64 %rd1, [x]; ld.param.f32 %f1, [a]; cvta.to.global.u64 %rd2, %rd1;
  ld.global.f32 %f2, [%rd2]; mul.f32 %f3, %f1, %f2; st.global.f32 [%rd2], %f3; ret;
}}
"""


@dataclass(frozen=True)
class Tools:
    """NVIDIA's ptxas, fatbinary and cuobjdump."""

    bin: Path

    def run(self, name: str, *args: object) -> str:
        done = subprocess.run([str(self.bin / name), *map(str, args)], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def listed(self, path: Path) -> Counter[tuple[str, str]]:
        """What `cuobjdump` sees: (ELF or PTX, architecture). It never names the "f" of machine code, only of PTX."""
        command = [str(self.bin / "cuobjdump"), "--list-elf", "--list-ptx", "-all", str(path)]
        text = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
        return Counter((m[1], m[2]) for m in re.finditer(r"^(ELF|PTX) file .*\.(sm_\d+[af]?)\.\w+$", text, re.MULTILINE))


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    lines = [line for line in (DATA / "compilers.txt").read_text().splitlines() if not line.startswith("#")]
    directory = download(lines, "cuda-compilers")
    unpacked = tmp_path_factory.mktemp("cuda")
    for wheel in directory.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(unpacked)
    programs = unpacked / "nvidia" / "cu13" / "bin"
    for program in programs.iterdir():
        program.chmod(0o755)
    return Tools(programs)


@pytest.fixture(scope="session")
def cubins(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same kernel's machine code, and its PTX beside it, for each architecture."""
    directory = tmp_path_factory.mktemp("cubins")
    made = {}
    for arch in ARCHITECTURES:
        (directory / f"{arch}.ptx").write_text(PTX.format(arch=arch))
        made[arch] = directory / f"{arch}.cubin"
        tools.run("ptxas", f"-arch=sm_{arch}", directory / f"{arch}.ptx", "-o", made[arch])
    return made


def combine(tools: Tools, cubins: dict[str, Path], out: Path, archs: tuple[str, ...], *options: str, ptx: str = "") -> Path:
    images = [f"--image3=kind=elf,sm={arch},file={cubins[arch]}" for arch in archs]
    images += [f"--image3=kind=ptx,sm={ptx},file={cubins[ptx].with_suffix('.ptx')}"] if ptx else []
    tools.run("fatbinary", f"--create={out}", "-64", *options, *images)
    return out


def counted(path: Path) -> Counter[tuple[str, str]]:
    found, problems = read_library(path.name, FileBlob(path))
    assert problems == ()
    names = {Kind.SASS: "ELF", Kind.PTX: "PTX"}
    return Counter(
        (names[entry.kind], entry.arch.sm.rstrip("f") if entry.kind is Kind.SASS else entry.arch.sm)
        for code in found.code
        for entry in code.container.entries
    )


OPTIONS = {
    "default": (),
    "none": ("--compress-mode=none",),
    "lz4": ("--compress-all", "--compress-mode=speed"),
    "zstd": ("--compress-all", "--compress-mode=size"),
    "bundle": ("--concat",),
    "bundle, zstd": ("--concat", "--compress-all", "--compress-mode=size"),
}


@pytest.mark.parametrize("options", OPTIONS)
def test_every_compression_of_fatbinary_is_read_as_cuobjdump_reads_it(tools, cubins, tmp_path: Path, options: str) -> None:
    archs = ("75", "80", "86", "89", "90", "100f", "120")
    path = combine(tools, cubins, tmp_path / "x.fatbin", archs, *OPTIONS[options], ptx="90")
    assert counted(path) == tools.listed(path)
    assert sum(counted(path).values()) == 8


def test_each_architecture_and_variant_is_named_as_cuobjdump_names_it(tools, cubins, tmp_path: Path) -> None:
    for arch in ARCHITECTURES:
        path = combine(tools, cubins, tmp_path / f"{arch}.fatbin", (arch,), ptx=arch)
        assert counted(path) == tools.listed(path)
        entries = read_library("x", FileBlob(path))[0].code[0].container.entries
        assert {entry.arch.sm for entry in entries} == {f"sm_{arch}"}


@pytest.mark.parametrize("options", OPTIONS)
def test_what_is_decompressed_is_what_the_compiler_wrote(tools, cubins, tmp_path: Path, options: str) -> None:
    archs = ("80", "90")
    path = combine(tools, cubins, tmp_path / "x.fatbin", archs, *OPTIONS[options])
    blob = FileBlob(path)
    for code in read_library("x", blob)[0].code:
        for entry in code.container.entries:
            content = read_code(blob, entry)
            assert content.rstrip(b"\0") == cubins[str(entry.arch.number)].read_bytes().rstrip(b"\0")
            check_cubin(entry, content)
    used = {entry.compression for code in read_library("x", blob)[0].code for entry in code.container.entries}
    wanted = {"none": Compression.NONE, "lz4": Compression.LZ4, "zstd": Compression.ZSTD, "bundle, zstd": Compression.ZSTD}
    if options in wanted:
        assert used == {wanted[options]}


def test_a_cubin_alone_knows_its_architecture(cubins) -> None:
    for arch, path in cubins.items():
        entries = read_library(path.name, FileBlob(path))[0].code[0].container.entries
        assert [entry.arch.sm for entry in entries] == [f"sm_{arch}"]


def test_the_tests_own_builder_writes_what_fatbinary_writes(tools, cubins, tmp_path: Path) -> None:
    path = combine(tools, cubins, tmp_path / "x.fatbin", ("75", "80", "90"), "--compress-mode=none")
    built = container([E(2, int(arch), code=cubins[arch].read_bytes()) for arch in ("75", "80", "90")])
    theirs = bytearray(path.read_bytes())
    # The minor version of machine code: 7 in the builder, as CUDA 12 writes it, 8 in CUDA 13.
    assert theirs.replace(b"\x08\0\1\0", b"\x07\0\1\0") == bytearray(built).replace(b"\x08\0\1\0", b"\x07\0\1\0")


BUILT = {
    "plain": lambda e: container([e(80), e(90), E(1, 90)]),
    "lz4": lambda e: container([e(75, LZ4), E(1, 75, compression=LZ4)]),
    "zstd": lambda e: container([e(75, ZSTD), e(86, ZSTD)]),
    "variant": lambda e: container([E(1, 90, "a", isa=(9, 0)), e(90)]),
    "bundle": lambda e: bundle([80, 89], [e(80).code, e(89).code]),
    "library": lambda e: elf({".nv_fatbin": container([e(80), E(1, 80)]) + bytes(16) + container([e(90)])}),
    "relocatable": lambda e: elf({"__nv_relfatbin": container([e(80)]), ".nv_fatbin": container([e(80), e(86)])}),
}


@pytest.mark.parametrize("name", BUILT)
def test_cuobjdump_reads_the_tests_own_builder_as_we_do(tools, cubins, tmp_path: Path, name: str) -> None:
    data = BUILT[name](lambda arch, how=0: E(2, arch, compression=how, code=cubins[str(arch)].read_bytes()))
    path = tmp_path / ("x.so" if data.startswith(b"\x7fELF") else "x.fatbin")
    path.write_bytes(data)
    assert counted(path) == tools.listed(path)
    assert counted(path)


@pytest.mark.skipif(not shutil.which("gcc"), reason="there is no gcc to make object files with")
def test_object_files_and_static_archives_are_read_as_cuobjdump_reads_them(tools, cubins, tmp_path: Path) -> None:
    objects = {}
    for name, options in {"whole.o": (), "relocatable.o": ("--device-c",)}.items():
        source = tmp_path / f"{name}.c"
        images = [f"--image3=kind=elf,sm={arch},file={cubins[arch]}" for arch in ("80", "90")]
        tools.run("fatbinary", f"--create={tmp_path / name}.fatbin", f"--embedded-fatbin={source}", "-64", *options, *images)
        text = re.sub(r'#include "fatbinary_section.h"', "", source.read_text())
        source.write_text(f'#include "{tools.bin.parent / "include" / "fatbinary_section.h"}"\n{text}')
        flags = ["-D__SKIP_INTERNAL_FATBINARY_HEADERS", "-c", "-o", tmp_path / name, source]
        subprocess.run(["gcc", *map(str, flags)], check=True, capture_output=True)
        objects[name] = (tmp_path / name).read_bytes()
        assert counted(tmp_path / name) == tools.listed(tmp_path / name)
    (tmp_path / "libx.a").write_bytes(archive(objects))
    assert counted(tmp_path / "libx.a") == tools.listed(tmp_path / "libx.a")
    assert sum(counted(tmp_path / "libx.a").values()) == 4


def test_wheels_that_others_published_hold_what_cuobjdump_found_in_them() -> None:

    wheels = tomllib.loads((DATA / "wheels.toml").read_text())["wheel"]
    directory = download([f"{wheel['requirement']} --hash=sha256:{wheel['sha256']}" for wheel in wheels], "wheels")
    for wheel in wheels:
        name, _, version = wheel["requirement"].partition("==")
        (path,) = directory.glob(f"{name.replace('-', '_')}-{version}-*.whl")
        found = {entry["path"]: entry for entry in verify(path).as_dict()["libraries"]}
        for kind in ("sm", "ptx"):
            counts = {path: {arch: amount["entries"] for arch, amount in entry[kind].items()} for path, entry in found.items()}
            assert counts == {path: expected[kind] for path, expected in wheel["libraries"].items()}
