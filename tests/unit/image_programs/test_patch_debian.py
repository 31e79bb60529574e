"""What Debian's patches change for its own layout is taken back, and a source that differs is named."""

from pathlib import Path

import pytest

from tests.unit.image_programs.programs import RECIPE, program

patch_debian = program("patch_debian", RECIPE / "build/torch")
EPOCH = 1_735_689_600
HEADER = "torch/csrc/jit/serialization/mobile_bytecode_generated.h"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that are edited, with the old lines among others, and the schema."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))
    root = tmp_path / "tree"
    for file in {edit.file for edit in patch_debian.EDITS}:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        old = [edit.old for edit in patch_debian.EDITS if edit.file == file]
        (root / file).write_text("# before\n" + "\n# between\n".join(old) + "\n# after\n")
    schema = root / patch_debian.SCHEMA
    schema.parent.mkdir(parents=True)
    schema.write_text("table Module {}\n")
    return root


@pytest.fixture
def flatc(tmp_path: Path) -> str:
    """Writes its arguments into the header that the real one would write."""
    program = tmp_path / "flatc"
    program.write_text('#!/bin/sh\n[ -f "$4" ] && echo "$@" >mobile_bytecode_generated.h\n')
    program.chmod(0o755)
    return str(program)


def texts(tree: Path) -> dict[str, str]:
    return {str(path.relative_to(tree)): path.read_text() for path in tree.rglob("*") if path.is_file()}


def test_each_edit_is_made_and_what_stands_around_it_stays(tree: Path, flatc: str) -> None:
    assert patch_debian.main(tree, flatc) == 0
    after = texts(tree)
    for file in {edit.file for edit in patch_debian.EDITS}:
        new = [edit.new for edit in patch_debian.EDITS if edit.file == file]
        assert after[file] == "# before\n" + "\n# between\n".join(new) + "\n# after\n"
    assert after[HEADER] == "--cpp --gen-mutable --scoped-enums mobile_bytecode.fbs\n"


def test_what_was_changed_has_the_tree_s_date(tree: Path, flatc: str) -> None:
    patch_debian.main(tree, flatc)
    for file in [HEADER, *(edit.file for edit in patch_debian.EDITS)]:
        assert (tree / file).stat().st_mtime == EPOCH


def test_a_patching_that_was_interrupted_goes_on_and_a_finished_one_stays(tree: Path, flatc: str) -> None:
    text = patch_debian.edited((tree / patch_debian.EDITS[0].file).read_text(), patch_debian.EDITS[0])
    (tree / patch_debian.EDITS[0].file).write_text(text)
    patch_debian.main(tree, flatc)
    after = texts(tree)
    (tree / HEADER).write_text("as the build has it\n")
    patch_debian.main(tree, flatc)
    assert texts(tree) == after | {HEADER: "as the build has it\n"}


@pytest.mark.parametrize("number", range(len(patch_debian.EDITS)))
def test_a_source_without_the_lines_is_named_with_them(number: int, tree: Path, flatc: str) -> None:
    edit = patch_debian.EDITS[number]
    (tree / edit.file).write_text((tree / edit.file).read_text().replace(edit.old, "something newer"))
    with pytest.raises(SystemExit) as refused:
        patch_debian.main(tree, flatc)
    assert str(refused.value).startswith(f"error: {edit.file} no longer holds the lines that this recipe changes")
    assert edit.old in str(refused.value)
    assert not (tree / patch_debian.STAMP).exists()


def test_a_source_without_the_file_is_named(tree: Path, flatc: str) -> None:
    (tree / "caffe2/CMakeLists.txt").unlink()
    with pytest.raises(SystemExit, match=r"error: caffe2/CMakeLists\.txt no longer holds"):
        patch_debian.main(tree, flatc)


def test_a_schema_that_flatc_refuses_is_named(tree: Path) -> None:
    with pytest.raises(SystemExit, match=r"error: false does not take torch/csrc/jit/serialization/mobile_bytecode\.fbs"):
        patch_debian.main(tree, "false")
    assert not (tree / patch_debian.STAMP).exists()
