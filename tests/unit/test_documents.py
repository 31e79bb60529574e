"""What the documents say exists, exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "Stack").glob("*/*.md")),
    ROOT / "ARR_COC/README.md",
]
COMMAND = re.compile(r"(?:python3 CLI/cli\.py|(?<=[`\n])arrstack) (?P<command>[a-z]+)(?P<rest>[^`\n|#]*)")


@pytest.fixture(scope="module")
def help_of() -> dict[str, str]:
    def ask(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "arrstack", *words, "--help"], check=True, capture_output=True, text=True
        ).stdout

    def commands(told: str) -> list[str]:
        return re.findall(r"^  ([a-z]+)  ", told.partition("Commands:")[2], re.MULTILINE)

    top = ask()
    found = {name: top + ask(name) for name in commands(top)}
    groups = {group: commands(told.removeprefix(top)) for group, told in found.items()}
    return found | {f"{group} {name}": top + ask(group, name) for group, names in groups.items() for name in names}


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if d.exists()], ids=lambda d: str(d.relative_to(ROOT)))
def test_commands_and_options_in_the_documents_exist(document: Path, help_of: dict[str, str]) -> None:
    for match in COMMAND.finditer(document.read_text()):
        command, rest = match["command"], match["rest"].split(" -- ")[0]
        assert command in help_of, f"{document.name}: {match[0]}"
        below = f"{command} {rest.split()[0]}" if rest.split() else ""
        assert below in help_of or not any(name.startswith(f"{command} ") for name in help_of), f"{document.name}: {match[0]}"
        command = below if below in help_of else command
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", rest):
            assert option in help_of[command], f"{document.name}: {match[0]}"


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if d.exists()], ids=lambda d: str(d.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name}: {target}"


@pytest.mark.parametrize("tier", ["arr-pytorch-base", "arr-ml-stack", "arr-trainer", "arr-vertex-launcher"])
def test_every_tier_has_its_files(tier: str) -> None:
    for name in ("Dockerfile", "Dockerfile.dockerignore", "README.md", "CHANGES.md"):
        assert (ROOT / "Stack" / tier / name).is_file(), name


def test_recipes_use_nothing_that_the_oldest_engine_lacks() -> None:
    for dockerfile in [*ROOT.glob("Stack/*/Dockerfile"), *ROOT.glob("examples/*/*/Dockerfile")]:
        text = dockerfile.read_text()
        assert "<<" not in text, f"{dockerfile}: buildah 1.28 has no heredocs"
        assert "# syntax=" not in text, f"{dockerfile}: makes every engine pull a frontend image"
