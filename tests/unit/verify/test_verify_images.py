"""Images: what the layers leave, from OCI layouts and from whoever else holds an image."""

import gzip
import hashlib
import json
import tarfile
from collections.abc import Generator, Iterator, Sequence
from io import BytesIO
from pathlib import Path

import pytest
import zstandard
from verify_builders import elf, fatbin, library

from arrstack.artifacts.files import File, Item, Level, Link, Problem
from arrstack.artifacts.layers import Layer, merge_layers
from arrstack.errors import ConfigError
from arrstack.verify import load_policy, verify

TORCH = "opt/venv/lib/python3.13/site-packages/torch/lib/libtorch_cuda.so"
COMPRESSIONS = {"plain": lambda data: data, "gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}


def tar_of(files: dict[str, bytes | str]) -> bytes:
    """A layer; a text as content makes a symbolic link to it."""
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(data, str):
                info.type, info.linkname = tarfile.SYMTYPE, data
                tar.addfile(info)
            else:
                info.size = len(data)
                tar.addfile(info, BytesIO(data))
    return out.getvalue()


def layout(directory: Path, images: dict[str, Sequence[bytes]]) -> Path:
    """Writes an OCI layout directory that holds these images, by tag, of these layers."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    manifests = []
    for tag, layers in images.items():
        manifest = json.dumps({"schemaVersion": 2, "layers": [put(layer) for layer in layers]}).encode()
        manifests.append({**put(manifest), "annotations": {"org.opencontainers.image.ref.name": tag}})
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
    return directory


class Held:
    """An image of these layers, lowest first."""

    kind = "image"
    name = "registry.example/arr:latest"
    is_system = True

    def __init__(self, layers: Sequence[bytes]) -> None:
        self._layers = layers

    def items(self) -> Iterator[Item]:
        return merge_layers([Layer(lambda data=data: BytesIO(data)) for data in self._layers])


def paths(layers: Sequence[bytes]) -> set[str]:
    return {item.path for item in Held(layers).items() if isinstance(item, File | Link)}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_an_image_in_an_oci_layout_is_judged_by_what_we_compile(tmp_path: Path, compression: str) -> None:
    files = {TORCH: library(80, 90), "usr/lib/libcublas.so.12": library(50), "opt/venv/lib/other/_C.so": library(70)}
    layer = COMPRESSIONS[compression](tar_of(files))
    report = verify(f"oci:{layout(tmp_path, {'latest': [layer]})}:latest", ["8.0", "9.0"])
    assert {found.path: found.ours for found in report.libraries} == {
        TORCH: True,
        "usr/lib/libcublas.so.12": False,
        "opt/venv/lib/other/_C.so": False,
    }
    assert report.passed


def test_a_large_library_in_a_layer_is_spooled_and_read(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("arrstack.artifacts.spool.IN_MEMORY_BYTES", 1000)
    data = elf({".rodata": bytes(2_000_000), ".nv_fatbin": fatbin(89)})
    assert verify(Held([gzip.compress(tar_of({TORCH: data}))]), ["8.9"]).passed


def test_a_layout_directory_is_recognised_without_its_prefix_and_wants_a_tag_where_it_holds_several(tmp_path: Path) -> None:
    good, bad = tar_of({TORCH: library(80)}), tar_of({TORCH: library(70)})
    directory = layout(tmp_path / "two", {"good": [good], "bad": [bad]})
    assert verify(layout(tmp_path / "one", {"good": [good]}), ["8.0"]).passed
    assert verify(f"oci:{directory}:good", ["8.0"]).passed
    assert not verify(f"oci:{directory}:bad", ["8.0"]).passed
    with pytest.raises(ConfigError, match="2 images are there"):
        verify(directory)
    with pytest.raises(ConfigError, match="no such tag"):
        verify(f"oci:{directory}:other")


def test_an_upper_layer_replaces_and_removes_what_lies_below() -> None:
    below = tar_of({"a/x.so": b"old", "a/y.so": b"y", "b/z.so": b"z", "c/d/e.so": b"e"})
    above = tar_of({"a/x.so": b"new", "a/.wh.y.so": b"", "b/.wh..wh..opq": b"", "b/n.so": b"n", ".wh.c": b""})
    assert paths([below, above]) == {"a/x.so", "b/n.so"}
    heads = {item.path: item.head for item in Held([below, above]).items() if isinstance(item, File)}
    assert heads["a/x.so"] == b"new"


def test_a_corrupt_truncated_or_missing_layer_is_an_error(tmp_path: Path) -> None:
    layer = gzip.compress(tar_of({TORCH: library(80)}))
    directory = layout(tmp_path, {"latest": [layer]})
    blob = directory / "blobs" / "sha256" / hashlib.sha256(layer).hexdigest()
    for content in (layer[: len(layer) // 2], layer + b"x", b"hello", b""):
        blob.write_bytes(content)
        assert not verify(directory, ["8.0"]).passed
    blob.unlink()
    assert "cannot be read" in " ".join(problem.message for problem in verify(directory, ["8.0"]).problems)


@pytest.mark.parametrize("limit", [1000, 16 << 20])
def test_a_layer_that_breaks_off_in_the_middle_of_a_library_is_an_error(monkeypatch, limit: int) -> None:
    monkeypatch.setattr("arrstack.artifacts.spool.IN_MEMORY_BYTES", limit)
    noise = bytes((i * 7919 + i // 251) % 256 for i in range(1 << 20))
    for compress in COMPRESSIONS.values():
        whole = compress(tar_of({TORCH: elf({".nv_fatbin": fatbin(80), ".data": noise})}))
        report = verify(Held([whole[: len(whole) * 2 // 3]]), ["8.0"])
        assert not report.passed
        assert any(problem.path == TORCH for problem in report.problems)


def test_a_library_larger_than_the_free_disk_is_an_error(monkeypatch) -> None:
    monkeypatch.setattr("arrstack.artifacts.spool.IN_MEMORY_BYTES", 1000)
    monkeypatch.setattr("arrstack.artifacts.spool.KEPT_FREE", 1 << 60)
    report = verify(Held([tar_of({TORCH: library(80) + bytes(5000)})]), ["8.0"])
    assert any("temporary disk" in problem.message for problem in report.problems)


def test_a_broken_index_is_an_error(tmp_path: Path) -> None:
    for number, text in enumerate(
        ("", "[]", "{}", '{"manifests": [{"digest": "sha256:../../etc/passwd"}]}', '{"manifests": 3}', "[" * 200_000)
    ):
        directory = layout(tmp_path / str(number), {"latest": [tar_of({})]})
        (directory / "index.json").write_text(text)
        report = verify(directory)
        assert not report.passed
        assert "not an image that can be read" in report.problems[0].message


def test_a_path_that_leaves_the_image_is_an_error() -> None:
    items = list(Held([tar_of({"../x.so": library(80)})]).items())
    assert isinstance(items[0], Problem)
    assert "leads out of the archive" in items[0].message


def test_a_monstrous_tar_header_is_not_read_into_memory() -> None:
    info = tarfile.TarInfo("name")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 34
    items = list(Held([info.tobuf()]).items())
    assert any(isinstance(item, Problem) for item in items)


def system(files: dict[str, bytes | str]) -> Held:
    return Held([tar_of({"usr/lib/os-release": b"ID=debian\n", "lib": "usr/lib", **files})])


def problems(image: Held, level: Level, archs: Sequence[str] = ("8.0",)) -> list[str]:
    return [problem.message for problem in verify(image, archs).problems if problem.level is level]


def test_in_an_image_every_needed_library_must_be_found() -> None:
    torch = library(
        80, needed=["libc.so.6", "libcudart.so.12", "libgone.so.1", "libcuda.so.1"], runpath="$ORIGIN/../../nvidia/lib"
    )
    directory = TORCH.rsplit("/", 3)[0]
    found = problems(
        system({TORCH: torch, "usr/lib/libc.so.6": elf({}), f"{directory}/nvidia/lib/libcudart.so.12": elf({})}), Level.ERROR
    )
    assert found == ["needs libgone.so.1, which is nowhere"]


def test_directories_of_ld_so_conf_are_searched_and_links_followed() -> None:
    image = system(
        {
            TORCH: library(80, needed=["libx.so.1", "liby.so.1"]),
            "etc/ld.so.conf.d/cuda.conf": b"/usr/local/cuda/lib\n",
            "usr/local/cuda": "cuda-12.4",
            "usr/local/cuda-12.4/lib/libx.so.1": elf({}),
            "usr/lib/liby.so.1": "liby.so.1.2.3",
        }
    )
    assert verify(image, ["8.0"]).problems == ()


def test_a_library_that_is_there_but_not_on_the_search_path_is_a_warning() -> None:
    places = {"opt/somewhere/libx.so.1": elf({}), "opt/somewhere/liby.so.1": elf({})}
    image = system({TORCH: library(80, needed=["libx.so.1", "liby.so.1"]), **places})
    [told] = [message for message in problems(image, Level.WARNING) if "in no directory that the loader searches" in message]
    assert told.endswith(": libx.so.1, liby.so.1")


SITE = "opt/site-packages"


def version(cuda: str | None) -> bytes:
    return f"__version__ = '2.6.0'\ncuda: Optional[str] = {cuda!r}\ngit_version = 'abc'\nhip: Optional[str] = None\n".encode()


def test_torchvision_without_gpu_code_beside_a_torch_with_it_fails() -> None:
    files = {
        f"{SITE}/torch/version.py": version("12.4"),
        f"{SITE}/torch/lib/libtorch_cuda.so": library(80),
        f"{SITE}/torchvision/version.py": b"__version__ = '0.21.0'\ngit_version = 'def'\n",
        f"{SITE}/torchvision/_C.so": elf({}),
    }
    assert any("torchvision carries no GPU code, though torch" in message for message in problems(system(files), Level.ERROR))
    files[f"{SITE}/torchvision/_C.so"] = library(80)
    assert problems(system(files), Level.ERROR) == []


def test_a_torchvision_wheel_that_says_cuda_and_carries_none_fails(make_wheel) -> None:
    wheel = make_wheel(
        {"torchvision/version.py": b"__version__ = '0.21.0+cu124'\ngit_version = 'x'\n", "torchvision/_C.so": elf({})}
    )
    assert any("its version says that it was built for CUDA" in problem.message for problem in verify(wheel).problems)


def test_a_torch_that_names_another_cuda_than_its_libraries_need_fails() -> None:
    files = {
        f"{SITE}/torch/version.py": version("11.8"),
        f"{SITE}/torch/lib/libtorch_cuda.so": library(80, needed=["libcudart.so.12"]),
        "usr/lib/libcudart.so.12": elf({}),
    }
    assert problems(system(files), Level.ERROR) == ["torch.version.cuda is 11.8, its libraries need libcudart.so.12"]


def test_two_openmp_runtimes_in_one_process_are_a_warning(make_wheel) -> None:
    wheel = make_wheel(
        {"x/_C.so": library(80, needed=["libomp.so.5", "libdnnl.so"]), "x/libdnnl.so": elf({}, needed=["libgomp.so.1"])}
    )
    found = [problem.message for problem in verify(wheel, ["8.0"]).problems]
    assert "brings two OpenMP runtimes into one process: libgomp.so.1 and libomp.so.5" in found


def test_an_rpath_into_a_build_tree_is_a_warning_and_under_a_strict_policy_an_error(make_wheel) -> None:
    wheel = make_wheel({"x/_C.so": library(80, runpath="/home/me/build/lib:$ORIGIN:/usr/local/cuda/lib64")})
    report = verify(wheel, ["8.0"])
    assert [problem.message for problem in report.problems] == [
        "its RPATH names /home/me/build/lib, a directory of the machine that built it"
    ]
    assert report.passed
    import dataclasses

    assert not verify(wheel, ["8.0"], dataclasses.replace(load_policy(), strict=True)).passed


def test_the_oldest_glibc_driver_and_libraries_are_told(make_wheel) -> None:
    data = library(
        80,
        with_ptx=[80],
        needed=["libcudart.so.12", "libcudnn.so.9", "libnccl.so.2"],
        versions={"libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.34"], "libm.so.6": ["GLIBC_2.29"]},
        undefined=["ncclCommSplit", "ncclSend", "cudaMalloc"],
    )
    assert verify(make_wheel({"x/_C.so": data}), ["8.0+PTX"]).needs == {
        "cpu": "x86-64",
        "libc": "glibc",
        "glibc": "2.34",
        "python": "py3",
        "cuda": "12",
        "cudnn": "9",
        "nccl": "2.18",
        "driver": "525.60.13",
        "ptx_driver": "CUDA 12.4",
    }


def test_the_capabilities_of_cpu_kernels_are_read_from_their_dispatch_table(tmp_path: Path) -> None:
    stub = "_ZN2at6native12DispatchStubIPFvvENS0_8add_stubEE"
    (tmp_path / "libtorch_cpu.so").write_bytes(elf({}, undefined=[f"{stub}{name}E" for name in ("6AVX512", "7DEFAULT", "4AVX2")]))
    report = verify(tmp_path / "libtorch_cpu.so", [])
    assert report.cpu_capabilities == ("DEFAULT", "AVX2", "AVX512")
    assert report.passed


def test_deep_names_functions_outside_of_the_kernels_that_need_a_newer_processor(tmp_path: Path) -> None:
    (tmp_path / "libx.so").write_bytes(elf({}))
    lines = [
        "<_ZN2at6native6AVX5123addEv>:", "\tvaddps %zmm0,%zmm1,%zmm2",
        "<_Z5plainv>:", "\taddps  %xmm0,%xmm1", "\tret",
        "<_Z6leakedv>:", "\tvmovups %ymm0,(%rdi)",
    ]  # fmt: skip
    asked: list[Sequence[str]] = []

    def disassemble(command: Sequence[str]) -> Generator[str, None, int]:
        asked.append(command)
        yield from lines
        return 0

    messages = [problem.message for problem in verify(tmp_path, [], disassemble=disassemble).problems]
    assert any("1 functions" in message and "_Z6leakedv (vmovups)" in message for message in messages)
    assert asked[0][0] == "objdump"
    assert asked[0][-1] == str(tmp_path / "libx.so")
