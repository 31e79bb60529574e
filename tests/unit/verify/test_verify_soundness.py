"""What is found about whether libraries can run: each finding whole, with its hint; and the loader's way to a library."""

import hashlib
import json
from pathlib import Path

import pytest
from test_verify_images import SITE, TORCH, Held, layout, tar_of, version
from verify_builders import LZ4, ZSTD, elf, fatbin, library

from arrstack.artifacts.disk import SingleFile
from arrstack.artifacts.files import Level, Problem
from arrstack.artifacts.layout import OciLayout
from arrstack.artifacts.open import open_target
from arrstack.errors import ConfigError
from arrstack.verify import Report, load_policy, require_pass, verify
from arrstack.verify.facts import ElfFacts, Facts, Library
from arrstack.verify.gpus import parse_capability
from arrstack.verify.loader import Finder
from arrstack.verify.needs import numbers


def found(report: Report) -> list[tuple[str, str, str, str]]:
    return [(problem.level.value, problem.path, problem.message, problem.hint) for problem in report.problems]


def needing(path: str, *needed: str, search: tuple[str, ...] = ()) -> Library:
    return Library(path, 1, ElfFacts("x86-64", needed=needed, search=search))


def finder(paths: set[str], links: dict[str, str] | None = None, directories: tuple[str, ...] = ()) -> Finder:
    facts = Facts("image", "image", True, (), paths=frozenset(paths), directory_links=tuple((links or {}).items()))
    import dataclasses

    return Finder(dataclasses.replace(facts, loader_directories=directories))


@pytest.mark.parametrize(
    "directory",
    [
        "lib",
        "usr/lib",
        "lib64",
        "usr/lib64",
        "lib/x86_64-linux-gnu",
        "usr/lib/x86_64-linux-gnu",
        "lib/aarch64-linux-gnu",
        "usr/local/lib",
    ],
)
def test_the_loader_searches_the_directories_of_the_system(directory: str) -> None:
    assert finder({f"{directory}/liba.so"}).finds(needing("opt/x.so"), "liba.so")
    assert not finder({f"{directory}/deeper/liba.so"}).finds(needing("opt/x.so"), "liba.so")
    assert finder({f"{directory}/deeper/liba.so"}).is_present("liba.so")
    assert not finder({f"{directory}/liba.so"}).is_present("libb.so")


def test_the_loader_searches_the_rpath_beside_the_library_itself() -> None:
    places = finder({"opt/lib/liba.so", "liba0.so"})
    assert places.finds(needing("opt/bin/x.so", search=("$ORIGIN/../lib",)), "liba.so")
    assert places.finds(needing("opt/bin/x.so", search=("/nowhere", "${ORIGIN}/../lib")), "liba.so")
    assert places.finds(needing("x.so", search=("/opt/lib",)), "liba.so")
    assert not places.finds(needing("opt/bin/x.so", search=("$ORIGIN",)), "liba.so")
    assert not places.finds(needing("opt/bin/x.so"), "liba.so")
    assert places.finds(needing("x.so", search=("$ORIGIN",)), "liba0.so")


def test_the_loader_follows_links_one_behind_the_other() -> None:
    links = {"usr/local/cuda": "etc/alternatives/cuda", "etc/alternatives/cuda": "usr/local/cuda-12.4"}
    places = finder({"usr/local/cuda-12.4/lib64/liba.so"}, links, ("usr/local/cuda/lib64",))
    assert places.finds(needing("opt/x.so"), "liba.so")
    assert finder({"usr/local/cuda/lib64/liba.so"}, links, ("usr/local/cuda-12.4/lib64",)).finds(needing("x.so"), "liba.so")
    assert finder({"usr/lib/liba.so"}, {"lib": "usr/lib"}).finds(needing("x.so", search=("/lib",)), "liba.so")


def test_a_loop_of_links_ends() -> None:
    places = finder({"a/liba.so"}, {"a": "b", "b": "a"}, ("a",))
    assert places.is_present("liba.so")
    assert finder({"x/liba.so"}, {"x": "x"}).is_present("liba.so")


@pytest.mark.parametrize("version", ["2.²", f"2.{'9' * 5000}"])
def test_what_is_no_number_in_a_version_is_passed_over(version: str) -> None:
    assert numbers(version) == (2,)


def test_versions_sort_as_numbers() -> None:
    assert numbers("2.17") == (2, 17)
    assert max(["2.9", "2.17"], key=numbers) == "2.17"
    assert numbers("2.x") == (2,)


def test_the_newest_glibc_is_needed_by_number(make_wheel) -> None:
    versions = {"libc.so.6": ["GLIBC_2.9", "GLIBC_2.17", "GLIBC_PRIVATE", "GLIBC_2.2.5"]}
    assert verify(make_wheel({"x.so": elf({}, versions=versions)})).needs["glibc"] == "2.17"


def test_how_gpu_code_is_packed_says_which_driver_reads_it(make_wheel) -> None:
    packed = {
        name: elf({".nv_fatbin": fatbin(90, compression=how)}, needed=["libcudart.so.12"])
        for name, how in (("z", ZSTD), ("l", LZ4))
    }
    assert verify(make_wheel({"x.so": packed["l"]})).needs["driver"] == "525.60.13"
    assert verify(make_wheel({"x.so": packed["l"], "y.so": packed["z"]})).needs["driver"] == "550.54.14"


def test_the_versions_of_nvidias_libraries_are_needed_by_their_sonames(make_wheel) -> None:
    needed = ["libcudart.so.11", "libcudart.so.12", "libcudnn_ops.so.9", "libnccl.so.2"]
    report = verify(make_wheel({"x.so": elf({}, needed=needed, undefined=["ncclSend"]), "y.so": elf({})}))
    told = {key: report.needs[key] for key in ("cuda", "cudnn", "nccl", "driver")}
    assert told == {"cuda": "12", "cudnn": "9", "nccl": "2.7", "driver": "525.60.13"}
    only = verify(make_wheel({"x.so": elf({}, needed=["libnccl.so.2"])}))
    assert only.needs["nccl"] == "2"
    assert "driver" not in only.needs and "cuda" not in only.needs
    several = "its libraries need the runtimes of several CUDA versions: 11, 12"
    assert ("warning", several) in [(problem.level.value, problem.message) for problem in report.problems]


def test_a_library_that_is_nowhere_is_an_error_with_what_to_do() -> None:
    report = verify(Held([tar_of({TORCH: library(80, needed=["libgone.so.1", "libcuda.so.1"])})]), ["8.0"])
    assert found(report) == [("error", TORCH, "needs libgone.so.1, which is nowhere", "install it, or build without it")]


def test_a_library_off_the_search_path_is_a_warning_with_what_it_means() -> None:
    files = {TORCH: library(80, needed=["liba.so", "libb.so"]), "opt/a/liba.so": elf({}), "opt/a/libb.so": elf({})}
    message = "needs what is there but in no directory that the loader searches for it: liba.so, libb.so"
    assert found(verify(Held([tar_of(files)]), ["8.0"])) == [
        ("warning", TORCH, message, "it loads only if something loaded that before")
    ]


def test_what_importing_the_package_has_loaded_by_then_is_a_note_alone() -> None:
    """torchvision imports torch before its own library, and torchaudio loads its own in order."""
    site = TORCH.partition("/torch/")[0]
    files = {
        TORCH: library(80),
        f"{site}/torchvision/_C.so": library(80, needed=[TORCH.rpartition("/")[2]]),
        f"{site}/torchaudio/lib/_torchaudio.so": library(80, needed=["libtorchaudio.so", TORCH.rpartition("/")[2]]),
        f"{site}/torchaudio/lib/deeper/libtorchaudio.so": library(80),
    }
    told = found(verify(Held([tar_of(files)]), ["8.0"]))
    assert {(level, hint) for level, _, _, hint in told} == {("note", "importing the package loads that first")}
    assert len(told) == 2


def test_what_others_in_an_image_need_is_not_judged() -> None:
    files = {TORCH: library(80), "usr/bin/x": elf({}, needed=["libgone.so"], runpath="/home/me")}
    message = "its RPATH names /home/me, a directory of the machine that built it"
    hint = "set it to $ORIGIN and relative paths (patchelf --set-rpath)"
    assert found(verify(Held([tar_of(files)]), ["8.0"])) == [("note", "usr/bin/x", message, hint)]


def test_libraries_from_elsewhere_are_named_once(make_wheel) -> None:
    wheel = make_wheel({"a.so": library(80, needed=["libz9.so", "liba9.so"]), "b.so": elf({}, needed=["libz9.so", "a.so"])})
    assert found(verify(wheel, ["8.0"])) == [
        ("note", str(wheel), "needs libraries from elsewhere: liba9.so, libz9.so", "of the system or of other packages")
    ]


@pytest.mark.parametrize("path", ["/usr/lib", "/usr/lib/x", "/usr/local/cuda/lib64", "$ORIGIN", "relative"])
def test_directories_of_a_system_may_be_named(path: str, make_wheel) -> None:
    assert found(verify(make_wheel({"a.so": library(80, runpath=path)}), ["8.0"])) == []


def test_a_directory_that_only_begins_like_one_of_the_system_may_not() -> None:
    policy = load_policy()
    assert "/usr/lib" in policy.system_directories
    report = verify(Held([tar_of({TORCH: library(80, runpath="/usr/libexec")})]), ["8.0"])
    assert [problem.message for problem in report.problems] == [
        "its RPATH names /usr/libexec, a directory of the machine that built it"
    ]


def test_two_openmp_runtimes_are_told_with_what_they_do(make_wheel) -> None:
    wheel = make_wheel({"a.so": library(80, needed=["libgomp-1a2b.so.1", "libgomp.so.1"])})
    message = "brings two OpenMP runtimes into one process: libgomp-1a2b.so.1 and libgomp.so.1"
    hint = "two pools of threads compete, unless one only stands in for the other"
    assert ("warning", "a.so", message, hint) in found(verify(wheel, ["8.0"]))


def test_one_openmp_runtime_under_two_names_is_one(make_wheel) -> None:
    wheel = make_wheel({"a.so": library(80, needed=["libgomp.so.1", "libgomp.so"])})
    assert not any("OpenMP" in message for _, _, message, _ in found(verify(wheel, ["8.0"])))


def test_openmp_is_followed_by_soname_and_told_once(make_wheel) -> None:
    wheel = make_wheel(
        {
            "a.so": library(80, needed=["libmid.so.1", "libomp.so.5"]),
            "deep/mid.bin.so": elf({}, needed=["libiomp5.so"], soname="libmid.so.1"),
            "b.so": elf({}, needed=["a.so"]),
        }
    )
    told = [(path, message) for _, path, message, _ in found(verify(wheel, ["8.0"])) if "OpenMP" in message]
    assert told == [("a.so", "brings two OpenMP runtimes into one process: libiomp5.so and libomp.so.5")]


def test_a_package_without_gpu_code_is_told_with_what_to_set() -> None:
    files = {
        f"{SITE}/torch/version.py": version("12.4"),
        f"{SITE}/torch/lib/libtorch_cuda.so": library(80),
        f"{SITE}/torchaudio/version.py": b"__version__ = '2'\ngit_version = 'x'\n",
        f"{SITE}/other/version.py": b"__version__ = '2'\ngit_version = 'x'\n",
    }
    message = "torchaudio carries no GPU code, though torch beside it does"
    hint = "a build machine without a GPU leaves it out unless FORCE_CUDA=1 (torchvision) or USE_CUDA=1 (torchaudio) is set"
    assert found(verify(Held([tar_of(files)]), ["8.0"])) == [("error", f"{SITE}/torchaudio/version.py", message, hint)]


@pytest.mark.parametrize(
    ("text", "fails"), [("'2+cu124'", True), ("'2'\ncuda = '12.4'", True), ("'2+cpu'", False), ("'2'", False)]
)
def test_a_version_may_say_that_a_package_was_built_for_cuda(text: str, fails: bool, make_wheel) -> None:
    version_file = f"__version__ = {text}\ngit_version = 'x'\n".encode()
    report = verify(make_wheel({"torch/version.py": version_file, "torch/_C.so": elf({})}))
    assert [problem.message for problem in report.errors] == (
        ["torch carries no GPU code, though its version says that it was built for CUDA"] if fails else []
    )


def test_a_cuda_version_that_is_no_number_is_no_traceback(make_wheel) -> None:
    text = b"__version__ = '2'\ngit_version = 'x'\ncuda = 'twelve'\n"
    report = verify(make_wheel({"torch/version.py": text, "torch/_C.so": library(80, needed=["libcudart.so.12"])}), ["8.0"])
    assert [problem.message for problem in report.errors] == ["torch.version.cuda is twelve, its libraries need libcudart.so.12"]


def test_a_failure_is_told_with_its_first_reasons(tmp_path: Path) -> None:
    (tmp_path / "libx.so").write_bytes(library(*range(60, 70)))
    with pytest.raises(Exception, match=r"sm_80 is missing in libx\.so") as caught:
        require_pass(verify(tmp_path / "libx.so", ["8.0"]))
    message = caught.value.args[0]
    assert message.startswith(
        f"{tmp_path / 'libx.so'}: sm_80 is missing in libx.so; sm_60 is in libx.so, and nobody asked for it; "
    )
    assert message.endswith("sm_63 is in libx.so, and nobody asked for it (and 6 more)")


# -- where targets come from


def test_targets_that_are_none_are_refused_with_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        open_target(tmp_path / "nothing")
    assert caught.value.message == f"{tmp_path / 'nothing'}: No such file or directory"
    assert caught.value.hint == "name a wheel, a directory, a library, oci:DIR:TAG or an image"
    with pytest.raises(ConfigError) as caught:
        open_target("a\0b")
    assert caught.value.message == "a\0b: embedded null byte"
    with pytest.raises(ConfigError) as caught:
        open_target("/dev/null")
    assert (caught.value.message, caught.value.hint) == (
        "/dev/null: neither a file nor a directory",
        "name a wheel, a directory, a library or an image",
    )
    with pytest.raises(
        ConfigError, match=r"^oci:/nowhere: no OCI layout \(a directory with oci-layout and index.json\) is there$"
    ):
        open_target("oci:/nowhere")


def test_sources_say_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "x.so").write_bytes(elf({}))
    one, many = open_target(tmp_path / "x.so"), open_target(tmp_path)
    assert (one.kind, one.name, one.is_system) == ("library", str(tmp_path / "x.so"), False)
    assert (many.kind, many.name, many.is_system) == ("directory", str(tmp_path), False)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/os-release").write_text("")
    assert open_target(tmp_path).is_system
    assert isinstance(one, SingleFile)


def test_a_layout_is_named_by_tag_digest_or_alone(tmp_path: Path) -> None:
    directory = layout(tmp_path, {"1.0": [tar_of({TORCH: library(80)})], "host/name:2.0": [tar_of({TORCH: library(70)})]})
    digest = json.loads((directory / "index.json").read_text())["manifests"][0]["digest"]
    for name in ("1.0", "host/name:2.0", "2.0"):
        assert OciLayout.parse(f"{directory}:{name}") == OciLayout(directory, name)
        assert verify(f"oci:{directory}:{name}", ["8.0"]).passed is (name == "1.0")
    assert OciLayout.parse(f"{directory}@{digest}").name == f"oci:{directory}:{digest}"
    assert verify(f"oci:{directory}@{digest}", ["8.0"]).passed
    assert OciLayout(directory, "").name == f"oci:{directory}"
    with pytest.raises(ConfigError) as caught:
        verify(directory)
    assert caught.value.message == f"oci:{directory}: 2 images are there"
    assert caught.value.hint == "name one of 1.0, host/name:2.0"
    with pytest.raises(ConfigError) as caught:
        verify(f"oci:{directory}:3")
    assert (caught.value.message, caught.value.hint) == (
        f"oci:{directory}:3: no such tag in this OCI layout",
        "it holds 1.0, host/name:2.0",
    )


def index_of(directory: Path, manifests: list[dict[str, object]]) -> dict[str, object]:
    data = json.dumps({"manifests": manifests}).encode()
    digest = hashlib.sha256(data).hexdigest()
    (directory / "blobs/sha256" / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}"}


def test_of_an_index_the_image_of_this_platform_is_read(tmp_path: Path) -> None:
    directory = layout(tmp_path, {"good": [tar_of({TORCH: library(80)})], "other": [tar_of({TORCH: library(70)})]})
    good, other = json.loads((directory / "index.json").read_text())["manifests"]

    def verified(*manifests: dict[str, object]) -> Report:
        (directory / "index.json").write_text(json.dumps({"manifests": [index_of(directory, list(manifests))]}))
        return verify(directory, ["8.0"])

    arm = {"platform": {"os": "linux", "architecture": "arm64"}}
    windows = {"platform": {"os": "windows", "architecture": "amd64"}}
    assert verified(other | arm, other | windows, good | {"platform": {"os": "linux", "architecture": "amd64"}}).passed
    assert verified(good).passed
    assert verified(index_of(directory, [good])).passed
    wrong = verified(other | arm)
    assert wrong.problems[0] == Problem(
        Level.ERROR, f"oci:{directory}", "not an image that can be read: it has no image for linux/amd64"
    )
    nested = good
    for _ in range(4):
        nested = index_of(directory, [nested])
    assert verified(nested).verdict.endswith("its indexes are nested too deeply")
    assert "is not a digest" in verified({"digest": "md5:abc"}).verdict
    assert "is not a digest" in verified({"digest": "sha256:../x"}).verdict


def test_an_image_without_a_tag_is_named_by_its_digest(tmp_path: Path) -> None:
    directory = layout(tmp_path, {"x": [tar_of({TORCH: library(80)})]})
    [entry] = json.loads((directory / "index.json").read_text())["manifests"]
    untagged = {"digest": entry["digest"]}
    (directory / "index.json").write_text(json.dumps({"manifests": [untagged, untagged | {"annotations": None}]}))
    with pytest.raises(ConfigError) as caught:
        verify(directory)
    assert caught.value.hint == f"name one of {entry['digest']}, {entry['digest']}"
    (directory / "index.json").write_text(json.dumps({"manifests": []}))
    with pytest.raises(ConfigError) as caught:
        verify(directory)
    assert caught.value.hint == "it holds none"


def test_blobs_may_be_named_by_sha512(tmp_path: Path) -> None:
    directory = layout(tmp_path, {"x": [tar_of({TORCH: library(80)})]})
    [entry] = json.loads((directory / "index.json").read_text())["manifests"]
    data = (directory / "blobs/sha256" / entry["digest"].removeprefix("sha256:")).read_bytes()
    digest = hashlib.sha512(data).hexdigest()
    (directory / "blobs/sha512").mkdir()
    (directory / "blobs/sha512" / digest).write_bytes(data)
    (directory / "index.json").write_text(json.dumps({"manifests": [{"digest": f"sha512:{digest}"}]}))
    assert verify(directory, ["8.0"]).passed


def test_a_capability_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_capability("8,9")
    assert (caught.value.message, caught.value.hint) == ("'8,9' is not a compute capability", "write 8.9 or sm_89")


def test_a_document_of_a_layout_has_a_limit_and_is_an_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = layout(tmp_path, {"x": [tar_of({TORCH: library(80)})]})
    monkeypatch.setattr("arrstack.artifacts.layout.MAX_DOCUMENT", 10)
    size = (directory / "index.json").stat().st_size
    assert verify(directory).verdict.endswith(f"a JSON document of {size} bytes")
    (directory / "index.json").write_text("[]")
    assert verify(directory).verdict.endswith("a JSON document that is no object")
