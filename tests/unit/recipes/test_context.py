"""What instructions take of a build context, and a staged copy that has only that."""

import os
from pathlib import Path

import pytest

from arrstack.errors import ConfigError
from arrstack.model import EPOCH
from arrstack.recipes.context import BuildContext, entries
from arrstack.recipes.ignore import IgnoreRules
from arrstack.recipes.patterns import PatternError


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def test_a_folder_is_taken_with_all_below_and_a_glob_does_not_cross_folders(tmp_path: Path) -> None:
    make(tmp_path, "a/b/c", "a/d", "e.py", "f.py")
    context = BuildContext(tmp_path, IgnoreRules(""))
    assert context.matching("a") == ["a/b/c", "a/d"]
    assert context.matching("*.py") == ["e.py", "f.py"]
    assert context.matching("") == ["a/b/c", "a/d", "e.py", "f.py"]


def test_an_ignored_folder_is_not_even_walked(tmp_path: Path) -> None:
    make(tmp_path, "keep/a", "closed/b")
    (tmp_path / "closed").chmod(0o000)
    try:
        assert BuildContext(tmp_path, IgnoreRules("*\n!keep\n")).matching("") == ["keep/a"]
    finally:
        (tmp_path / "closed").chmod(0o755)


def test_content_path_executable_bit_and_link_target_count_and_nothing_else(tmp_path: Path) -> None:
    make(tmp_path, "a")
    os.symlink("a", tmp_path / "link")
    before = entries(BuildContext(tmp_path, IgnoreRules("")), [""])
    (tmp_path / "a").chmod(0o600)
    os.utime(tmp_path / "a", (1, 1))
    assert entries(BuildContext(tmp_path, IgnoreRules("")), [""]) == before
    (tmp_path / "a").chmod(0o700)
    after = entries(BuildContext(tmp_path, IgnoreRules("")), [""])
    assert after["a"].value.startswith("x ")
    assert after["link"].value == "-> a"


def test_a_staged_context_has_one_date_and_two_modes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    make(source, "a/b", "skip/c")
    (source / "a/b").chmod(0o750)
    (source / "empty").mkdir()
    context = BuildContext(source, IgnoreRules("skip"))
    entries(context, [""])
    context.copy_to(tmp_path / "staged")
    found = {str(p.relative_to(tmp_path / "staged")): p.stat() for p in (tmp_path / "staged").rglob("*")}
    assert sorted(found) == ["a", "a/b", "empty"]
    assert {s.st_mtime_ns for s in found.values()} == {context.date}
    assert 0 < context.date - EPOCH * 10**9 < 4 * 86_400 * 10**9
    assert oct(found["a/b"].st_mode)[-3:] == "755"


def test_another_content_has_another_date(tmp_path: Path) -> None:
    """BuildKit takes a file of one path, size and date for the same, whichever build sent it."""
    make(tmp_path, "a")
    dates = set()
    for text in ("one", "two", "one"):
        (tmp_path / "a").write_text(text)
        context = BuildContext(tmp_path, IgnoreRules(""))
        entries(context, ["a"])
        dates.add(context.date)
    assert len(dates) == 2


def test_what_cannot_be_in_a_context_is_said(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    context = BuildContext(tmp_path, IgnoreRules(""))
    # Opening a pipe would wait for ever: the context must look before.
    with pytest.raises(ConfigError, match="no file, folder or link"):
        context.entry("pipe")
    context.copy_to(tmp_path / "staged")  # nothing takes it: no error
    with pytest.raises(ConfigError, match="not a folder"):
        BuildContext(tmp_path / "absent", IgnoreRules(""))


@pytest.mark.parametrize(
    "change",
    [lambda f: f.write_text("another"), lambda f: f.unlink(), lambda f: (f.unlink(), f.symlink_to("b"))],
    ids=["edited", "removed", "made a link"],
)
def test_what_changed_since_it_was_read_is_not_built(tmp_path: Path, change) -> None:  # type: ignore[no-untyped-def]
    """Its image would be published under the key of what was there before."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("a", "b"):
        (source / name).write_text(name)
        (source / name).chmod(0o644)
    context = BuildContext(source, IgnoreRules(""))
    entries(context, ["a"])
    (source / "b").write_text("no COPY takes it")
    context.copy_to(tmp_path / "staged")
    change(source / "a")
    with pytest.raises(ConfigError, match=r"/a was changed while the launch ran"):
        context.copy_to(tmp_path / "again")


# -- links, as both engines follow them


@pytest.fixture
def linked(tmp_path: Path) -> BuildContext:
    make(tmp_path, "a", "d/a", "d/sub/x", "keep/b")
    for link, target in {
        "chain": "middle",
        "middle": "a",
        "absolute": "/a",
        "out": "../../../../a",
        "folder": "d",
        "through": "folder/a",
        "all": ".",
        "d/up": "..",
        "loop": "loop",
        "gone": "nothing",
        "d/sub/over": "../a",
    }.items():
        os.symlink(target, tmp_path / link)
    return BuildContext(tmp_path, IgnoreRules("keep"))


@pytest.mark.parametrize(
    ("source", "files"),
    [
        ("chain", {"a"}),
        ("absolute", {"a"}),
        ("out", {"a"}),
        ("through", {"d/a"}),
        ("folder/a", {"d/a"}),
        ("folder", {"d/a", "d/sub/x", "d/sub/over", "d/up"}),
        ("folder/sub/over", {"d/a"}),
        ("fold*/a", {"d/a"}),
        ("abs*", {"a"}),
        ("d/up/chain", {"a"}),
        ("./a", {"a"}),
        ("/a", {"a"}),
        ("keep/b", set()),
        ("a/b", set()),
        ("absent*", set()),
    ],
)
def test_a_source_is_followed_to_its_end_and_not_beyond_the_context(linked: BuildContext, source: str, files: set[str]) -> None:
    linked.matching(source)
    assert linked.taken == files


@pytest.mark.parametrize("source", ["gone", "loop", "g*", "lo?p"])
def test_a_link_to_nothing_cannot_be_copied(linked: BuildContext, source: str) -> None:
    with pytest.raises(PatternError, match="leads to nothing"):
        linked.matching(source)


def test_the_links_on_the_way_count_too(linked: BuildContext) -> None:
    assert linked.matching("chain") == ["a", "chain", "middle"]
    assert linked.matching("through") == ["d/a", "folder", "through"]
    assert linked.entry("absolute").value == "-> /a"


def test_a_link_to_the_root_takes_everything(linked: BuildContext) -> None:
    assert set(linked.matching("all")) == set(linked.everything)
    assert linked.matching("") == linked.everything


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        ("[ab]", ["a"]),
        ("\\a", ["a"]),
        ("[^x]", ["a"]),
        ("?", ["a"]),
        ("d/s*/x", ["d/sub/x"]),
        ("[^b-c]", ["a"]),
        ("[a-c]", ["a"]),
        ("[b-c]", []),
        ("[c-a]", []),
    ],
)
def test_a_glob_is_read_as_go_reads_it(tmp_path: Path, pattern: str, taken: list[str]) -> None:
    make(tmp_path, "a", "d/sub/x")
    context = BuildContext(tmp_path, IgnoreRules(""))
    assert [path for path in context.matching(pattern) if "/" not in path or "/" in pattern] == taken


@pytest.mark.parametrize("pattern", ["[a", "[]a]", "[a-]", "a[", "[-x]", "a*\\"])
def test_a_malformed_glob_is_refused(tmp_path: Path, pattern: str) -> None:
    make(tmp_path, "a")
    with pytest.raises(PatternError):
        BuildContext(tmp_path, IgnoreRules("")).matching(pattern)


def test_the_source_of_a_mount_is_no_pattern(tmp_path: Path) -> None:
    make(tmp_path, "a*", "ab")
    context = BuildContext(tmp_path, IgnoreRules(""))
    assert context.mounted("a*") == ["a*"]
    assert context.mounted("../a*") == ["a*"], "both engines hold it at the context's root"
    assert context.mounted("a?") == []


def test_a_mount_s_link_out_of_the_context_is_staged_as_one_that_stays_inside(linked: BuildContext, tmp_path: Path) -> None:
    """buildah follows it on this machine; docker from the context's root."""
    os.symlink("/d/sub", linked.root / "folder2")
    context = BuildContext(linked.root, linked.rules)
    for path in context.mounted("folder2/x"):
        context.entry(path)
    context.copy_to(tmp_path / "staged")
    assert os.readlink(tmp_path / "staged/folder2") == "d/sub"
    assert context.entry("folder2").value == "-> /d/sub"
    context.matching("")
    with pytest.raises(ConfigError, match="the link folder2 leads out of the build context"):
        context.check_links("Dockerfile")
    two_mounts = BuildContext(linked.root, linked.rules)
    two_mounts.mounted("folder2/x")
    two_mounts.check_links("Dockerfile")
    two_mounts.mounted("")
    with pytest.raises(ConfigError, match="the link folder2 leads out of the build context"):
        two_mounts.check_links("Dockerfile")


def test_a_staged_context_holds_what_was_read_and_nothing_else(tmp_path: Path) -> None:
    """So nothing that is not in the key can reach an image, whatever an engine makes of a recipe."""
    source = tmp_path / "source"
    make(source, "a", "b", "c/d")
    context = BuildContext(source, IgnoreRules(""))
    entries(context, ["a", "c"])
    context.copy_to(tmp_path / "staged")
    assert sorted(str(p.relative_to(tmp_path / "staged")) for p in (tmp_path / "staged").rglob("*")) == ["a", "c", "c/d"]


def test_holes_stay_holes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with (source / "sparse").open("wb") as file:
        file.truncate(200 << 20)
        file.seek(100 << 20)
        file.write(b"data")
    context = BuildContext(source, IgnoreRules(""))
    entries(context, ["sparse"])
    context.copy_to(tmp_path / "staged")
    staged = (tmp_path / "staged/sparse").stat()
    assert staged.st_size == 200 << 20 and staged.st_blocks * 512 < 1 << 20


def test_odd_names_are_names(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).write_text("x")
    make(tmp_path, "a\nb/x", "a\nb/y")
    context = BuildContext(tmp_path, IgnoreRules("**/x"))
    assert set(context.matching("")) == {os.fsdecode(b"caf\xe9"), "a\nb/y"}


def test_a_tree_without_end_is_refused(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(502):
        folder = folder / "d"
        folder.mkdir()
    with pytest.raises(ConfigError, match="lie in each other"):
        BuildContext(tmp_path, IgnoreRules(""))
