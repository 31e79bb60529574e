"""The guard of the compiled torch, against real installations: real wheels, and real pip where pip is the point."""

from __future__ import annotations

import base64
import contextlib
import csv
import hashlib
import io
import shutil
import subprocess
import zipfile
from importlib.metadata import MetadataPathFinder
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fakes.environments import environment_with_pip
from tests.unit.image_programs.programs import program

guard = program("guard", ROOT / "Stack/arr-ml-stack/build")
LIBRARY = "torch/lib/libtorch_cpu.so"


def wheel(folder: Path, name: str, version: str, requires: tuple[str, ...] = (), files: dict[str, str] | None = None) -> Path:
    """A wheel as a builder would write it: files, METADATA, WHEEL and a RECORD with their hashes."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(f"Requires-Dist: {r}\n" for r in requires)
    contents = {f"{name.replace('-', '_')}/__init__.py": f"__version__ = {version!r}\n"} | (files or {})
    contents |= {f"{info}/METADATA": metadata, f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    for path, text in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.writerow([path, f"sha256={digest}", len(text)])
    rows.writerow([f"{info}/RECORD", "", ""])
    target = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w") as archive:
        for path, text in (contents | {f"{info}/RECORD": record.getvalue()}).items():
            archive.writestr(path, text)
    return target


class Site:
    """A site directory with the trio in it, and the guard's snapshot of that."""

    def __init__(self, folder: Path) -> None:
        self.path, self.wheels, self.snapshot = folder / "site", folder / "wheels", folder / "trio.json"
        self.wheels.mkdir()
        self.install("torch", "2.6.0", files={LIBRARY: "compiled here\n"})
        self.install("torchvision", "0.21.0", ("torch", "numpy"))
        self.install("torchaudio", "2.6.0", ("torch",))
        self.install("nvidia-nvtx-cu12", "12.4.127")
        assert self.guard("snapshot") == (0, "")

    def install(self, name: str, version: str, requires: tuple[str, ...] = (), files: dict[str, str] | None = None) -> None:
        with zipfile.ZipFile(wheel(self.wheels, name, version, requires, files)) as archive:
            archive.extractall(self.path)

    def guard(self, action: str) -> tuple[int, str]:
        """Its status, and what it says on standard error."""
        MetadataPathFinder().invalidate_caches()  # what was installed within one tick of the file system's clock is seen too
        with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
            status = guard.main([action, str(self.snapshot), "--path", str(self.path)])
        return status, said.getvalue()

    def refusal(self) -> str:
        """What the guard says against the site as it is now."""
        status, said = self.guard("compare")
        assert status == 1
        return said


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_packages_that_leave_torch_alone_pass(site: Site) -> None:
    site.install("accelerate", "1.15.0", ("torch>=2.0.0",))
    site.install("cudatext", "1.0")  # no cuda-*
    (site.path / "torch/__pycache__").mkdir()
    (site.path / "torch/__pycache__/x.pyc").write_bytes(b"byte code is no part of a distribution")
    assert site.guard("compare") == (0, "")


def test_another_version_of_torch_is_refused_and_who_asked_is_named(site: Site) -> None:
    shutil.rmtree(site.path / "torch-2.6.0.dist-info")
    site.install("torch", "2.9.0", ("cuda-bindings",), {LIBRARY: "someone else's\n"})
    site.install("peft", "0.21.2", ("torch>=2.9",))
    said = site.refusal()
    assert "torch 2.9.0 was replaced: 2.6.0 before" in said
    assert "peft 0.21.2 (torch>=2.9)" in said


def test_the_same_version_from_elsewhere_is_refused(site: Site) -> None:
    site.install("torch", "2.6.0", files={LIBRARY: "the published wheel's\n"})
    assert "torch 2.6.0 was replaced: 2.6.0 before" in site.refusal()


def test_a_changed_library_is_refused_though_every_record_is_as_it_was(site: Site) -> None:
    (site.path / LIBRARY).write_text("patched\n")
    assert f"torch: 1 files differ from its RECORD: {LIBRARY} was changed" in site.refusal()


def test_a_removed_library_is_refused(site: Site) -> None:
    (site.path / LIBRARY).unlink()
    assert f"{LIBRARY} is gone" in site.refusal()


def test_a_file_dropped_into_torch_by_another_package_is_refused(site: Site) -> None:
    site.install("helpful", "1.0", files={"torch/_hook.py": "import helpful\n"})
    assert "torch/_hook.py was added" in site.refusal()


def test_a_removed_package_of_the_trio_is_refused(site: Site) -> None:
    shutil.rmtree(site.path / "torchaudio-2.6.0.dist-info")
    assert "torchaudio 2.6.0 was removed" in site.refusal()


def test_a_second_torch_that_hides_the_first_is_refused(site: Site) -> None:
    site.install("torch", "2.9.0")
    assert "torch 2.6.0 and 2.9.0 was replaced: 2.6.0 before" in site.refusal()


@pytest.mark.parametrize(
    "name", ["nvidia-cublas-cu12", "cuda-bindings", "cuda-toolkit", "triton", "pytorch-triton", "Nvidia_NCCL.cu12"]
)
def test_an_added_gpu_package_is_refused_and_who_asked_is_named(site: Site, name: str) -> None:
    site.install(name, "1.0")
    site.install("fast-kernels", "3.1", (f"{name}>=1",))
    assert f"1.0 was added. It is asked for by fast-kernels 3.1 ({name}>=1)" in site.refusal()


def test_a_gpu_package_that_nobody_requires_was_named_by_the_install(site: Site) -> None:
    site.install("triton", "3.5.0")
    site.install("optional-user", "1.0", ('triton; extra == "gpu"',))
    assert "triton 3.5.0 was added. It is asked for by no installed package: the install itself named it" in site.refusal()


def test_a_changed_gpu_package_is_refused(site: Site) -> None:
    shutil.rmtree(site.path / "nvidia_nvtx_cu12-12.4.127.dist-info")
    site.install("nvidia-nvtx-cu12", "12.9.0")
    assert "nvidia-nvtx-cu12 12.9.0 was replaced: 12.4.127 before" in site.refusal()


def test_an_image_without_torch_cannot_be_guarded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert guard.main(["snapshot", str(tmp_path / "trio.json"), "--path", str(tmp_path)]) == 1
    assert "the image below has no torch, torchvision, torchaudio" in capsys.readouterr().err


def test_an_eager_upgrade_by_pip_is_refused(tmp_path: Path) -> None:
    """`pip install -U --upgrade-strategy eager accelerate`: harmless to read, and torch is another one."""
    python, wheels = environment_with_pip(tmp_path / "venv"), tmp_path / "wheels"
    wheels.mkdir()
    before = [wheel(wheels, "torch", "2.6.0"), wheel(wheels, "torchvision", "0.21.0"), wheel(wheels, "torchaudio", "2.6.0")]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, *map(str, before)], check=True)
    guarding = [str(python), str(guard.__file__)]
    subprocess.run([*guarding, "snapshot", str(tmp_path / "trio.json")], check=True)
    wheel(wheels, "torch", "2.9.0", ("cuda-toolkit",))
    wheel(wheels, "cuda-toolkit", "13.0")
    wheel(wheels, "accelerate", "1.15.0", ("torch>=2.0.0",))
    subprocess.run([*pip, "--find-links", str(wheels), "-U", "--upgrade-strategy", "eager", "accelerate"], check=True)
    compared = subprocess.run([*guarding, "compare", str(tmp_path / "trio.json")], capture_output=True, text=True, check=False)
    assert compared.returncode == 1
    assert "torch 2.9.0 was replaced: 2.6.0 before. It is asked for by accelerate 1.15.0 (torch>=2.0.0)" in compared.stderr
    assert "cuda-toolkit 13.0 was added. It is asked for by torch 2.9.0 (cuda-toolkit)" in compared.stderr
