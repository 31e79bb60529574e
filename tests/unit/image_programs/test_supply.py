"""What the recipes fetch by pip is of known content, and never a source distribution, which would run its own build back end."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = sorted([*ROOT.glob("Stack/**/*.sh"), *ROOT.glob("Stack/**/Dockerfile"), *ROOT.glob("examples/**/Dockerfile")])


def pip_calls(script: str) -> list[str]:
    joined = script.replace("\\\n", " ")
    found: list[str] = re.findall(r"^[^#\n]*\bpip3? (?:install|download)\b[^\n]*", joined, re.MULTILINE)
    return found


def test_the_calls_of_pip_are_found():
    found = [call for script in SCRIPTS for call in pip_calls(script.read_text())]
    assert len(found) >= 5
    assert pip_calls("RUN pip install \\\n  x\n# pip install y\n") == ["RUN pip install    x"]


@pytest.mark.parametrize("script", SCRIPTS, ids=[str(script.relative_to(ROOT)) for script in SCRIPTS])
def test_what_comes_from_an_index_has_a_hash_and_is_a_wheel(script: Path):
    for call in pip_calls(script.read_text()):
        if "--no-index" not in call:
            assert all(option in call for option in ("--require-hashes", "--only-binary :all:", "--no-deps")), call


@pytest.mark.parametrize("profile", sorted((ROOT / "Stack/arr-pytorch-base/profiles").glob("*.packages")), ids=lambda p: p.stem)
def test_the_toolchains_packages_have_hashes(profile: Path):
    value = re.search(r'^TOOLCHAIN_PIP=(?:"([^"]*)")?$', profile.read_text(), re.MULTILINE)
    assert value
    for line in (value[1] or "").split():
        assert re.fullmatch(r"[\w.-]+==[\w.]+|--hash=sha256:[0-9a-f]{64}", line), line
    assert (value[1] or "").count("==") == (value[1] or "").count("--hash=")


@pytest.mark.parametrize("profile", sorted((ROOT / "Stack/arr-pytorch-base/profiles").glob("*.env")), ids=lambda p: p.stem)
def test_what_packs_gpu_code_is_one_wheel_of_known_content(profile: Path):
    values = dict(re.findall(r'^(FATBIN\w+)="?([^"\n#]*)"?', profile.read_text(), re.MULTILINE))
    assert ("FATBIN_COMPRESSION" in values) == ("USE_CUDA=1" in profile.read_text())
    if values.get("FATBIN_COMPRESSION"):
        assert re.fullmatch(r"[\w-]+==[\d.]+ --hash=sha256:[0-9a-f]{64}", values["FATBINARY_WHEEL"])
