"""Keys against the truth: random recipes, each changed at random, built by the real engine before and after.

Wherever the image differs, the inputs do. More of them, also on BuildKit: `bench/keys.py`.
"""

import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from arrstack.engines import Buildah, Engine
from arrstack.recipes.tiers import Recipe
from tests.contract.conftest import started
from tests.tools.truth import Case, Generator, builder, plan, verdicts

CASES = 100
SEED = 20_261_127


@pytest.fixture(scope="module")
def buildah(rootfs: Path, downloads: Path) -> Iterator[Buildah]:
    with started("buildah", rootfs, downloads) as engine:
        assert isinstance(engine, Buildah)
        yield engine


def test_a_changed_file_reaches_the_image_though_size_and_name_are_the_same(engine: Engine, tmp_path: Path) -> None:
    """BuildKit keeps the last context that it was sent, and looks at sizes and dates."""
    build = builder(engine)
    images = []
    for text in ("one", "two", "one"):
        folder = tmp_path / str(len(images))
        recipe = plan(Case(("FROM scratch", "COPY a /a"), {"a": text}).write(folder))
        assert isinstance(recipe, Recipe)
        images.append(build(folder / "staged/Dockerfile", recipe.write_to(folder / "staged"), {}))
    assert images[0] != images[1] and None not in images
    if isinstance(engine, Buildah) or engine.daemon.containerd:  # type: ignore[attr-defined]
        assert images[0] == images[2]


def test_where_the_image_differs_the_inputs_do(buildah: Buildah, rootfs: Path, tmp_path: Path) -> None:
    busybox = tmp_path / "busybox"
    with tarfile.open(rootfs) as archive:
        program = archive.extractfile("bin/busybox")
        assert program
        busybox.write_bytes(program.read())
    busybox.chmod(0o755)
    generator = Generator(SEED, busybox=busybox)
    counts = Counter(verdict.kind for verdict in verdicts(generator, buildah, tmp_path, CASES))
    assert counts["over"] <= CASES / 4, counts
