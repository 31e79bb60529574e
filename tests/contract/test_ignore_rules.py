"""Ignore rules against the engines themselves: what a real build takes from a context is what we say it takes.

BuildKit decides: buildah is given contexts that are staged by the same rules.
"""

import subprocess
import tarfile
from pathlib import Path

import pytest

from arrstack.engines import Buildah, Docker, Engine
from arrstack.recipes.context import BuildContext
from arrstack.recipes.ignore import ignore_file, rules_of
from tests.unit.recipes.test_context import make

TREE = (
    "README.md a/README.md a/b/README.md a/b/c.txt a/b/keep/deep/file a/x.py a/y.pyc b/a/x docs/index.md docs/img/a.png "
    "docs2/a .git/HEAD .hidden/x build/lib.sh build/sub/run.sh build.log x[1] 'q a-b ab a-z az .dockerignore"
).split()

RULES = {
    "none": "",
    "a folder": "docs",
    "a folder with a slash behind": "docs/",
    "from the root": "/a/b",
    "a star stays in its folder": "*.md",
    "two stars cross folders": "**/*.md",
    "two stars in the middle": "a/**/file",
    "two stars at the end": "docs/**",
    "two stars alone, and back": "**\n!a/x.py",
    "all but one folder": "*\n!build",
    "all but one deep file": "*\n!a/b/keep/deep/file",
    "back, and away again": "*\n!a\na/b\n!a/b/c.txt",
    "an exception that comes first": "!docs\n*",
    "an exception with two stars": "*\n!**/*.txt",
    "a question mark": "a?b\n?.hidden",
    "classes": "[.b]*\na[a-z]",
    "a negated class": "a[^a]b",
    "an escaped character": "x\\[1\\]",
    "comments and blank lines": "# docs\n\n  build  \n",
    "dots": "./docs\n../a\na/../b\n.",
    "what begins with a dot": ".*",
    "spaces before an exception": "*\n! docs",
}

BUILDAH_DIFFERS = ("an exception with two stars", "spaces before an exception")
"""In 1.28: it looks into no folder for the first, and takes the space of the second for a part of the name."""


def taken(engine: Engine, dockerfile: Path, root: Path, archive: Path) -> list[str]:
    """The files that the engine's own build takes with `COPY . /`."""
    command = [*engine.private, "buildah", "build", "--quiet"] if isinstance(engine, Buildah) else ["docker", "buildx", "build"]
    command += ["--file", str(dockerfile), "--output", f"type=tar,dest={archive}", str(root)]
    done = subprocess.run(command, env=engine.processes.environment, capture_output=True, text=True)  # type: ignore[attr-defined]
    assert done.returncode == 0, done.stderr
    with tarfile.open(archive) as tar:
        return sorted(member.name.removeprefix("./") for member in tar if member.isfile())


@pytest.mark.parametrize("name", RULES)
def test_a_context_holds_what_the_engine_takes(engine: Engine, name: str, tmp_path: Path) -> None:
    if isinstance(engine, Buildah) and name in BUILDAH_DIFFERS:
        pytest.skip("buildah's own reading of it")
    if isinstance(engine, Docker) and not engine.daemon.containerd:
        pytest.skip("the same BuildKit as with the other store")
    root, dockerfile = tmp_path / "context", tmp_path / "recipe" / "Dockerfile"
    make(root, *TREE)
    make(tmp_path, "recipe/Dockerfile")
    dockerfile.write_text("FROM scratch\nCOPY . /\n")
    dockerfile.with_name("Dockerfile.dockerignore").write_text(RULES[name])
    assert sorted(BuildContext(root, rules_of(ignore_file(dockerfile, root))).paths) == taken(
        engine, dockerfile, root, tmp_path / "out.tar"
    )
