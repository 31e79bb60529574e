"""What differs, as a person reads it."""

from arrstack.cli.changes import in_a_line, in_full
from arrstack.launch.plan import NEVER, PARENT
from arrstack.model import Change

OLD, NEW = "a1" * 32, "b2" * 32


def test_digests_stand_at_twelve_digits() -> None:
    assert (
        in_a_line(Change("image/file app.py", f"- {OLD}", f"x {NEW}"))
        == "changed image/file app.py: - a1a1a1a1a1a1 -> x b2b2b2b2b2b2"
    )


def test_what_was_never_built_and_what_follows_are_sentences() -> None:
    assert in_a_line(NEVER) == "never built here"
    assert in_a_line(Change(PARENT, "published", "rebuilt")).startswith("stands on a tier that is built first;")


def test_texts_are_shown_as_a_diff_of_their_parts() -> None:
    old = "RUN apt-get update && apt-get install -y curl git && rm -rf /var/lib/apt/lists"
    told = in_full(Change("image/RUN 1", old, old.replace("curl git", "curl")))
    assert told[0] == "changed image/RUN 1:"
    assert [line.strip() for line in told if line.strip().startswith(("+", "-"))] == [
        "-apt-get install -y curl git",
        "+apt-get install -y curl",
    ]


def test_a_short_value_needs_no_diff() -> None:
    assert in_full(Change("image/arg V", "1", "2")) == ["changed image/arg V: 1 -> 2"]


def test_a_long_value_that_is_new_is_shown_whole() -> None:
    told = in_full(Change("image/RUN 2", None, "RUN " + "word " * 30))
    assert told[0] == "added image/RUN 2:"
    assert all(line.startswith("  +") for line in told[1:])
