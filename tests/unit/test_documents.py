"""What the documents say exists, exists."""

import ast
import re
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from arrstack.cli.main import app
from arrstack.recipes.config import Archive, Bootstrap, Profile, Pull, Tier, Wheel, load
from arrstack.recipes.places import Buildx, Cloud, Table, Training
from arrstack.recipes.tiers import read
from tests.conftest import ROOT

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "Stack").glob("*/*.md")),
    ROOT / "ARR_COC/README.md",
    ROOT / "tools/compile-plan/README.md",
]
COMMAND = re.compile(r"(?:python3 CLI/cli\.py|(?<=[`\n])arrstack) (?P<command>[a-z]+)(?P<rest>[^`\n|#]*)")
PLACE = re.compile(r"`([\w./-]+\.(?:py|toml|json)|[\w./-]+/)`(?: \(([^()]*)\))?")
"""A file or folder of the product, and in parentheses the names that stand in it: `launch/plan.py` (`Facts`)."""
ROOMS = sorted(path.parent for path in (ROOT / "src/arrstack").glob("*/__init__.py"))


@pytest.fixture(scope="module")
def help_of() -> dict[str, str]:
    def ask(*words: str) -> str:
        asked = CliRunner().invoke(app, [*words, "--help"])
        assert asked.exit_code == 0, asked.output
        return asked.stdout

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


def test_no_option_of_run_stands_behind_the_tier_where_it_would_be_the_container_s() -> None:
    runs = [match for document in DOCUMENTS for match in COMMAND.finditer(document.read_text()) if match["command"] == "run"]
    separated = [match["rest"].split(" -- ")[0].split() for match in runs if " -- " in match["rest"]]
    assert len(separated) > 5
    for words in separated:
        assert re.fullmatch("(arr|small)-[a-z-]+", words[-1]), " ".join(words)


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if d.exists()], ids=lambda d: str(d.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_tests_that_the_documents_name_exist() -> None:
    named = {name for document in DOCUMENTS for name in re.findall(r"`(tests/[\w/]+\.py::test_\w+)`", document.read_text())}
    assert len(named) > 50
    for path, _, name in (each.partition("::") for each in sorted(named)):
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"there is no {name} in {path}"


def test_files_and_names_in_the_architecture_exist() -> None:
    text = (ROOT / "docs/architecture.md").read_text().partition("## The seams")[2]
    for path, names in PLACE.findall(text):
        if "TIER" in path or "NAME" in path:
            continue
        found = [base / path for base in (ROOT / "src/arrstack", ROOT) if (base / path).exists()]
        assert found, f"docs/architecture.md says {path}, which is not there"
        for name in re.findall(r"`(\w+)`", names):
            defined = rf"^\s*(def|class) {name}\b|^\s*{name}\b[^()]*[:=]|^\s*async def {name}\b"
            assert re.search(defined, found[0].read_text(), re.MULTILINE), f"docs/architecture.md: there is no {name} in {path}"


@pytest.mark.parametrize(
    "table", [Tier, Wheel, Profile, Bootstrap, Pull, Archive, Cloud, Buildx, Training], ids=lambda table: table.__name__
)
def test_the_guide_has_every_key_of_a_stack_file(table: type[Table]) -> None:
    page = (ROOT / "docs/guide/stack.md").read_text()
    for key in msgspec.structs.fields(table):
        if table is Archive or key.encode_name == "wheels":
            assert f"{key.encode_name}" in page, key.encode_name
            continue
        rows = re.findall(rf"\| `{key.encode_name}` \| ([^|]*)\|", page)
        assert any(row.startswith("required") == key.required for row in rows), f"{table.__name__}: {key.encode_name}"


def test_the_stack_of_the_guide_is_planned_as_it_stands(tmp_path: Path) -> None:
    page = (ROOT / "docs/guide/stack.md").read_text()
    stacks = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (dockerfile,) = re.findall(r"```dockerfile\n(.*?)```", page, re.DOTALL)
    (tmp_path / "stack.toml").write_text(stacks[0])
    for tier, text in (("tools", dockerfile), ("app", "ARG BASE\nFROM ${BASE}\n"), ("files", "FROM scratch\nCOPY data /data\n")):
        (tmp_path / tier).mkdir()
        (tmp_path / tier / "Dockerfile").write_text(text)
    (tmp_path / "tools/tools.py").write_text("print()\n")
    recipes = read(load(tmp_path / "stack.toml"), {})
    assert [(recipe.tier.name, recipe.tier.parent) for recipe in recipes] == [("tools", None), ("app", "tools")]

    (tmp_path / "stack.toml").write_text(stacks[1])
    (tmp_path / "files/data").write_text("x")
    assert [recipe.tier.name for recipe in read(load(tmp_path / "stack.toml"), {})] == ["files"]


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_every_room_says_what_it_may_not_do_and_is_on_the_map(room: Path) -> None:
    docstring = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
    assert "\nMay not" in docstring
    assert f"`{room.name}`" in (ROOT / "docs/architecture.md").read_text()


@pytest.mark.parametrize("tier", ["arr-pytorch-base", "arr-pytorch-devel", "arr-ml-stack", "arr-trainer", "arr-vertex-launcher"])
def test_every_tier_has_its_files(tier: str) -> None:
    for name in ("Dockerfile", "Dockerfile.dockerignore", "README.md", "CHANGES.md"):
        assert (ROOT / "Stack" / tier / name).is_file(), name


def test_recipes_use_nothing_that_the_oldest_engine_lacks() -> None:
    for dockerfile in [*ROOT.glob("Stack/*/Dockerfile"), *ROOT.glob("examples/*/*/Dockerfile")]:
        text = dockerfile.read_text()
        assert "<<" not in text, f"{dockerfile}: buildah 1.28 has no heredocs"
        assert "# syntax=" not in text, f"{dockerfile}: makes every engine pull a frontend image"
