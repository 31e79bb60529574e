"""`arrstack registry`: what it says and how it ends."""

import json
from pathlib import Path

from tests.unit.cli.test_cli import run


def empty_registry(folder: Path, index: str = '{"manifests": []}') -> str:
    (folder / "blobs/sha256").mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(index)
    return f"oci:{folder}"


def test_a_whole_directory_is_said_to_be_whole(tmp_path: Path) -> None:
    done = run("registry", "check", "--registry", empty_registry(tmp_path))
    assert done.returncode == 0
    assert "is whole" in done.stdout


def test_a_directory_in_which_nothing_is_is_not_said_to_be_whole(tmp_path: Path) -> None:
    for verb in ("check", "repair"):
        done = run("registry", verb, "--registry", f"oci:{tmp_path}/mistyped")
        assert (done.returncode, "nothing was published to" in done.stdout) == (0, True)


def test_a_damaged_one_is_named_repaired_and_whole(tmp_path: Path) -> None:
    where = empty_registry(tmp_path, "{")
    found = run("registry", "check", "--registry", where, "--json")
    assert found.returncode == 3
    assert [each["what"] for each in json.loads(found.stdout)["damaged"]] == ["index.json"]
    told = run("registry", "repair", "--registry", where)
    assert told.returncode == 0, told.stderr
    assert "index.json" in told.stdout
    assert run("registry", "check", "--registry", where).returncode == 0


def test_a_server_and_a_folder_of_something_else_are_refused(tmp_path: Path) -> None:
    assert run("registry", "check", "--registry", "quay.io/x").returncode == 2
    (tmp_path / "thesis.txt").write_text("mine")
    for verb in ("check", "repair"):
        done = run("registry", verb, "--registry", f"oci:{tmp_path}")
        assert done.returncode == 3
        assert "not a registry directory" in done.stderr
