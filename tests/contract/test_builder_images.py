"""The images of others that a build in Google Cloud runs in: found in the recipes' files, and pinned there by the command that is told."""

import subprocess
import uuid
from pathlib import Path

from arrstack.gcp.builder_images import pins, used_by
from arrstack.gcp.difference import Row, Verdict
from arrstack.recipes.config import load
from tests.conftest import ROOT
from tests.contract.layouts import layout

FILE = """steps:
  - id: worker
    name: {builder}
    args: [build, --tag=mine, context]
  - {{id: image, name: mine}}
timeout: 60s
"""


def rows(root: Path) -> list[Row]:
    return pins(used_by(root, sorted(root.glob("*/cloudbuild.yaml"))))


def written(root: Path, builder: str, base: str) -> Path:
    (root / "context").mkdir()
    (root / "context/Dockerfile").write_text(f"FROM {base} AS first\nFROM first\nFROM scratch\n")
    for tier in ("low", "high"):
        (root / tier).mkdir()
        (root / tier / "cloudbuild.yaml").write_text(FILE.format(builder=builder))
    return root


def test_the_committed_files_take_two_images_from_registries() -> None:
    files = [ROOT / tier.recipe / "cloudbuild.yaml" for tier in load(ROOT / "stack.toml").tiers]
    used = used_by(ROOT, files)
    assert [name.partition("@")[0] for name in used] == ["gcr.io/cloud-builders/docker", "debian:trixie-slim"]
    assert list(used.values()) == [tuple(str(path.relative_to(ROOT)) for path in files), ("Stack/cloud-build/Dockerfile",)]


def test_an_image_by_its_tag_alone_is_named_with_its_files_and_nothing_is_left_to_apply(tmp_path: Path) -> None:
    builder, base = rows(written(tmp_path, "gcr.io/b/docker", "debian:13"))
    assert (builder.verdict, builder.detail) == (
        Verdict.UNPINNED,
        "by its tag alone, in high/cloudbuild.yaml, low/cloudbuild.yaml",
    )
    assert (base.resource.name, base.detail) == ("debian:13", "by its tag alone, in context/Dockerfile")
    assert not builder.todo


def test_the_told_command_pins_an_image_in_every_file_that_names_it(registry_server: str, tmp_path: Path) -> None:
    name = f"{registry_server}/{uuid.uuid4().hex}/docker"
    copied = ["skopeo", "copy", "--dest-tls-verify=false", f"oci:{layout(tmp_path / 'layout', 'one')}", f"docker://{name}:13"]
    subprocess.run(copied, check=True, capture_output=True)
    copied[-1] = f"docker://{name}"
    subprocess.run(copied, check=True, capture_output=True)
    (tmp_path / "tree").mkdir()
    root = written(tmp_path / "tree", name, f"{name}:13")
    for row in rows(root):
        subprocess.run(["bash", "-c", row.resource.command], cwd=root, check=True)
    asked = ["skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{name}"]
    digest = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    assert [(row.resource.name, row.verdict) for row in rows(root)] == [
        (f"{name}@{digest}", Verdict.OK),
        (f"{name}:13@{digest}", Verdict.OK),
    ]
