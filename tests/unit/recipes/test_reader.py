"""A Dockerfile is read byte for byte as BuildKit reads it."""

import random

import dockerfile as buildkit  # BuildKit's own parser of 2023, bound to Python: a second opinion, in tests only
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrstack.recipes.checks import INSTRUCTIONS
from arrstack.recipes.instruction import Instruction, SyntaxProblem
from arrstack.recipes.reader import heredoc, read


def only(text: str) -> Instruction:
    (instruction,) = read(text).instructions
    return instruction


def test_comments_and_blank_lines_are_no_part_of_an_instruction() -> None:
    text = "RUN one && \\\n    two"
    assert only("# c\n\n" + text + "\n\n# d\n").text == text.replace("\\\n", "")
    assert only("RUN one && \\\n  # e\n\n#f\n    two\n").text == only(text).text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('RUN printf "a  b"', ('printf "a  b"',)),
        ('RUN ["p", "a  b"]', ("p", "a  b")),
        ("ENV A=\"a  b\" B='c'", ("A", '"a  b"', "B", "'c'")),
        ("ENV A a  b ", ("A", "a  b")),
        ('LABEL "a b"=c', ('"a b"', "c")),
        ("ARG A B= C='x y'", ("A", "B=", "C='x y'")),
        ("COPY a\t b  /c/", ("a", "b", "/c/")),
        ('COPY ["a b", "/c"]', ("a b", "/c")),
        ("COPY [a b]", ("[a", "b]")),
        ("CMD []", ()),
        ('HEALTHCHECK --interval=1s CMD ["a"]', ("CMD", "a")),
        ("HEALTHCHECK NONE", ("NONE",)),
        ("onbuild copy a /b", ("COPY",)),
    ],
)
def test_the_words_of_an_instruction(text: str, value: tuple[str, ...]) -> None:
    assert only(text).value == value


def test_flags_lose_their_quotes_and_may_be_ended() -> None:
    assert only('RUN --mount=type=bind,source="a b" --mount=x\\ y -- --z').flags == (
        "--mount=type=bind,source=a b",
        "--mount=x y",
    )
    assert only("COPY --from=a  --link x /y").text == "COPY --from=a --link x /y"


def test_white_space_counts_where_an_engine_keeps_it() -> None:
    for text in ('RUN printf "a%sb"', 'RUN ["p", "a%sb"]', "ENV A=a%sb=c", "CMD a%sb"):
        assert only(text % " ").text != only(text % "  ").text
    assert only("COPY  a\t\tb").text == only("COPY a b").text


@pytest.mark.parametrize(
    "text", ["FROM a \\\n  AS b", "FROM a \\  \n\n# c\n  AS b", "FROM a \\\n# c \\\n  AS b", "\ufeffFROM a AS b"]
)
def test_lines_that_continue(text: str) -> None:
    assert only(text).value == ("a", "AS", "b")


def test_a_line_ends_where_the_escape_is_escaped() -> None:
    assert [i.name for i in read("RUN a \\\\\nRUN b\n").instructions] == ["RUN", "RUN"]


def test_directives_stand_before_everything_else() -> None:
    assert read("# syntax=x\n# Escape = `\nFROM a `\n AS b").escape == "`"
    assert read("# syntax=x\n# escape=`\nFROM a").directives == ("syntax=x", "escape=`")
    assert read("#\n# escape=`\nFROM a\n").escape == "\\"
    assert read("\n# escape=`\nFROM a\n").directives == ()
    for bad in ("# escape=x\n", "# escape=`\n# escape=`\n"):
        with pytest.raises(SyntaxProblem):
            read(bad + "FROM a")


@pytest.mark.parametrize(
    ("word", "name", "chomp", "expand"),
    [
        ("<<EOF", "EOF", False, True),
        ("<<-EOF", "EOF", True, True),
        ("3<<EOF", "EOF", False, True),
        ("<<'EOF'", "EOF", False, False),
        ('<<E"O"F', "EOF", False, False),
        ("<<\\EOF", "EOF", False, True),
        ("<< EOF", "EOF", False, True),
    ],
)
def test_what_opens_a_here_document(word: str, name: str, chomp: bool, expand: bool) -> None:
    found = heredoc(word)
    assert found and (found.name, found.chomp, found.expand) == (name, chomp, expand)


@pytest.mark.parametrize("word", ["<<", "a<<EOF", '"<<EOF"', "<<<EOF", "<EOF"])
def test_what_opens_none(word: str) -> None:
    assert heredoc(word) is None


def test_here_documents_are_read_to_their_ends_as_they_are() -> None:
    found = only("COPY <<A <<-'B' /x/\n# one\n\n  A \nA\n\ttwo\r\n\tB\n")
    assert [(h.content, h.expand) for h in found.heredocs] == [("# one\n\n  A \n", True), ("\ttwo\r\n", False)]
    assert "# one" in found.text and "two\r" in found.text
    assert only("RUN <<E\n# a\nE\n").text != only("RUN <<E\n# b\nE\n").text
    assert only("ONBUILD RUN <<E\nx\nE\n").trigger == Instruction("RUN", "RUN <<E\nx\nE", 1, (), ("<<E",), False, found_in("x\n"))
    with pytest.raises(SyntaxProblem, match="no end"):
        read("RUN <<E\nx\n")


def found_in(content: str):  # type: ignore[no-untyped-def]
    return only(f"RUN <<E\n{content}E\n").heredocs


def test_bytes_that_are_no_text_are_kept() -> None:
    latin = b"# caf\xe9\nRUN echo caf\xe9 \0 x\r\n".decode("utf-8", "surrogateescape")
    assert only(latin).text.encode("utf-8", "surrogateescape") == b"RUN echo caf\xe9 \0 x"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("FROM a\nENV A=b c\n", 2, "'c' is not of the form NAME=VALUE"),
        ("ENV A\n", 1, "ENV needs a name and a value"),
        ("FROM a\n\nRUN [1]\n", 3, "nothing but text"),
        ('COPY ["a", "/b"] # c\n', 1, "behind the array"),
        ("RUN " + "x" * 70_000, 1, "longer than 65535 bytes"),
        ("RUN " + "[" * 60_000, 1, "nested too deep"),
        ("RUN a\r\r\n", 1, "two carriage returns"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(SyntaxProblem) as error:
        read(text)
    assert error.value.line == line and said in error.value.message


PIECES = (
    "FROM a|\n|\n|\n| |  |\t|\\|\\\n|`|`\n|\"|'|#| # c\n|# escape=`\n|# syntax=x\n|RUN |COPY |ENV |LABEL |ARG |ONBUILD |--from=x |"
    '--mount=type=bind,source="a b" |<<EOF|<<-E|\nEOF\n|\n\tE\n|<<\'E F\'|3<<EOF|a=b|a="b c"|$A|${A}|x|y\\ z|é|\r\n|CMD |VOLUME |NONE|EXPOSE 8|--| -- |\v|\f'
).split("|")


@pytest.mark.parametrize("seed", range(4))
def test_buildkit_s_own_parser_reads_the_same(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(2_000):
        text = "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 14)))
        try:
            theirs = [
                (
                    c.start_line,
                    c.cmd,
                    c.flags,
                    c.value if c.cmd.lower() != "onbuild" else (c.sub_cmd.upper(),),
                    bool(c.json),
                    tuple(h.content for h in c.heredocs),
                )
                for c in buildkit.parse_string(text)
                if c.cmd and c.cmd.upper() in INSTRUCTIONS and (c.sub_cmd or c.cmd.lower() != "onbuild")
            ]
        except buildkit.GoParseError:
            continue
        ours = [
            (i.line, i.name, i.flags, i.value, i.is_json, tuple(h.content for h in i.heredocs))
            for i in read(text).instructions
            if i.name in INSTRUCTIONS and (i.name != "ONBUILD" or i.trigger)
        ]
        assert ours == [(line, name.upper(), *rest) for line, name, *rest in theirs], repr(text)


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        read(data.decode("utf-8", "surrogateescape"))
    except SyntaxProblem as problem:
        assert problem.line >= 1
