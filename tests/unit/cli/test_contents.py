"""sbom, vulnerabilities, report: what a call prints, writes and answers with."""

import json
import subprocess
from pathlib import Path

import pytest

from arrstack.contents.sbom import check
from tests.fakes.command_line import arrstack
from tests.unit.contents.images import image, system, torch

OSV = [{"id": "CVE-2026-5", "affected": [{"package": {"ecosystem": "PyPI", "name": "torch"}, "versions": ["2.6.0"]}]}]
IGNORE = '[[ignore]]\nid = "CVE-2026-5"\nreason = "not reachable"\nuntil = 2999-01-01\n'


def run(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return arrstack(*arguments, cwd=cwd)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    image(tmp_path / "image", [system(), torch()])
    (tmp_path / "osv.json").write_text(json.dumps(OSV))
    (tmp_path / "ignore.toml").write_text(IGNORE)
    image(tmp_path / "cut", [system(), torch().tar()[:700]])
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/torch-2.6.0-py3-none-any.whl").write_text("a page of a proxy")
    return tmp_path


def test_a_bill_is_printed_and_nothing_else(folder: Path) -> None:
    done = run(folder, "sbom", "oci:image")
    assert (done.returncode, done.stderr) == (0, "")
    check(done.stdout)


def test_a_bill_is_written_where_one_is_asked_for_and_not_by_a_dry_run(folder: Path) -> None:
    told = json.loads(run(folder, "sbom", "oci:image", "-o", "bill.json", "--dry-run", "--json").stdout)
    assert (told["file"], told["dry_run"]) == ("bill.json", True)
    assert not (folder / "bill.json").exists()
    assert "written to bill.json" in run(folder, "sbom", "oci:image", "-o", "bill.json").stdout
    check((folder / "bill.json").read_text())


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["sbom", "oci:image", "--attach"], 2, "not a tier"),
        (["sbom", "oci:missing"], 2, "no OCI layout"),
        (["sbom", "nothing-of-that-name"], 2, "no such file"),
        (["sbom", "oci:image", "-o", "no/such/folder"], 5, "cannot be written"),
        (["report", "oci:image", "--against", "nothing"], 2, "no such file"),
        (["report", "oci:image", "--record", "missing.tsv"], 2, "missing.tsv cannot be read"),
        (["report", "oci:image", "--record", "ignore.toml"], 2, "no line of a record"),
        (["report", "oci:image", "--ignore", "ignore.toml"], 2, "--ignore without --vulnerabilities or --osv"),
        (["vulnerabilities", "empty", "--osv", "osv.json"], 3, "there is no package in it"),
        (["vulnerabilities", "broken", "--osv", "osv.json"], 4, "torch-2.6.0-py3-none-any.whl: not a wheel that can be read"),
        (["vulnerabilities", "oci:cut", "--osv", "osv.json"], 4, "layer 2: cannot be read"),
        (["vulnerabilities", "oci:image", "--osv", "missing"], 2, "cannot be read"),
        (["vulnerabilities", "oci:image", "--osv", "empty"], 2, "no entry of a database"),
        (["vulnerabilities", "oci:image", "--osv", "osv.json", "--ignore", "osv.json"], 2, "osv.json: "),
    ],
)
def test_what_cannot_be_done_is_said_with_its_status(folder: Path, arguments: list[str], status: int, said: str) -> None:
    done = run(folder, *arguments)
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_vulnerability_ends_with_4_and_one_that_is_left_out_with_0(folder: Path) -> None:
    done = run(folder, "vulnerabilities", "oci:image", "--osv", "osv.json")
    assert done.returncode == 4
    assert "CVE-2026-5" in done.stdout and "2 packages no source knows about" in done.stdout
    done = run(folder, "vulnerabilities", "oci:image", "--osv", "osv.json", "--ignore", "ignore.toml", "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert (told["found"], told["ignored"][0]["reason"], told["unasked"]) == ([], "not reachable", 2)


def test_only_what_is_mended_decides_where_that_is_asked_for(folder: Path) -> None:
    assert run(folder, "vulnerabilities", "oci:image", "--osv", "osv.json", "--fixable").returncode == 0


def test_without_any_source_nothing_is_said_to_be_well(folder: Path) -> None:
    for arguments in ([], ["--offline"]):
        done = run(folder, "vulnerabilities", "oci:image", *arguments)
        assert done.returncode == 3
        assert "nothing can be said" in done.stderr


def test_the_page_of_the_folder_where_one_is_has_a_name_that_is_seen(folder: Path) -> None:
    assert run(folder, "report", ".").stdout.startswith("files.html: ")


def test_a_report_is_one_file_and_its_json_has_the_same_numbers(folder: Path) -> None:
    assert run(folder, "report", "oci:image", "--against", "oci:image", "-o", "page.html").returncode == 0
    page = (folder / "page.html").read_text()
    told = json.loads(run(folder, "report", "oci:image", "--against", "oci:image", "--json").stdout)
    assert [each["name"] for each in told["packages"]] == ["libc6", "tzdata", "torch"]
    assert told["against"]["bytes_ratio"] == 1
    assert told["digest"][7:19] in page
    assert str(folder) not in page
