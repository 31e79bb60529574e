"""Words are expanded as BuildKit's shell lexer does (the values are those that its own tests document)."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrstack.recipes.substitution import WordError
from arrstack.recipes.words import Dialect, Undecided, expand, split

VALUES = {"PWD": "/home", "SHELL": "bash", "EMPTY": "", "A": "xxyy", "P": "/tmp/tmp/bar.txt", "PATTERN": "/tmp"}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        # quotes and escapes
        ("he'll'o", "hello"),
        ("he\\'llo", "he'llo"),
        ("abc\\tdef", "abctdef"),
        ('"abc\\tdef"', "abc\\tdef"),
        ('"abc\\\\tdef"', "abc\\tdef"),
        ("'hello\\there'", "hello\\there"),
        ("hello\\", "hello"),
        ("hello\\\\", "hello\\"),
        ("\"''\"", "''"),
        ("'\"hello\"'", '"hello"'),
        # names
        ("he$PWD", "he/home"),
        ("he$PWDX", "he"),
        ("he${PWD}xx", "he/homexx"),
        ("'$PWD'", "$PWD"),
        ("\"he'$PWD'\"", "he'/home'"),
        ("he\\$PWD", "he$PWD"),
        ('"he\\$PWD"', "he$PWD"),
        ("he\\\\$PWD", "he\\/home"),
        ("\\${}", "${}"),
        ("$.", "$."),
        ("he$1x$001y$@z$$", "hexyz"),
        ("${aaa}}", "}"),
        # defaults
        ("${X:-000}", "000"),
        ("${EMPTY:-000}", "000"),
        ("${EMPTY-000}", ""),
        ("${X-000}", "000"),
        ("${X:-${Y:-${SHELL}}}", "bash"),
        ("${X:-\\${PWD}z}", "${PWDz}"),
        ("${PWD:+${SHELL}}", "bash"),
        ("${X:+000}", ""),
        ("${EMPTY+set}", "set"),
        ("${EMPTY:+set}", ""),
        ("${PWD?told}", "/home"),
        ("${EMPTY?told}", ""),
        ("${1:-bbb}", "bbb"),
        ("${@:-bbb}", "bbb"),
        # patterns
        ("${A#x}", "xyy"),
        ("${A##*x}", "yy"),
        ("${A#*x*y}", "y"),
        ("${A%y}", "xxy"),
        ("${A%%y*}", "xx"),
        ("${A%x}", "xxyy"),
        ("${A#}", "xxyy"),
        ("${A/x/1}", "1xyy"),
        ("${A//x/1}", "11yy"),
        ("${A//?/1}", "1111"),
        ("${A//*/1}", "1"),
        ("${A///}", "xxyy"),
        ("${P/$PATTERN/}", "/tmp/bar.txt"),
        ("${P//$PATTERN/}", "/bar.txt"),
        ("${P//\\//\\/}", "\\/tmp\\/tmp\\/bar.txt"),
    ],
)
def test_a_word_is_expanded_as_buildkit_does(word: str, value: str) -> None:
    assert expand(word, VALUES.get) == value


@pytest.mark.parametrize(
    "word",
    [
        "'a",
        '"a',
        '"a\\"',
        "${}",
        "${:}",
        "${:-b}",
        "${{A}",
        "${A",
        "${A:x}",
        "${A:=x}",
        "${A=x}",
        "${.}",
        "${X?}",
        "${X:?no}",
        "${EMPTY:?}",
        "${A:#x}",
        "${A/x}",
        "${A//x",
        "${A#\\x}",
    ],
)
def test_what_the_engine_refuses_is_refused(word: str) -> None:
    with pytest.raises(WordError):
        expand(word, VALUES.get)


def test_the_escape_character_can_be_another() -> None:
    assert expand('"`$A" \\$A', VALUES.get, Dialect("`")) == "$A \\xxyy"


def test_the_older_lexer_of_buildah_knows_less() -> None:
    old = Dialect(plain=True)
    assert expand("${X:-1}${PWD:+2}$12$@", VALUES.get, old) == "122$@"
    for word in ("${A-x}", "${A#x}", "${A/x/y}"):
        with pytest.raises(WordError):
            expand(word, VALUES.get, old)


def test_a_value_that_is_not_known_is_not_guessed() -> None:
    def lookup(name: str) -> str | None:
        raise Undecided(name)

    assert expand("'$A'", lookup) == "$A"
    with pytest.raises(Undecided):
        expand("${A:-x}", lookup)


def test_words_are_split_outside_quotes() -> None:
    assert split("a \"b c\"d  'e  f' g\\ h") == ["a", "b cd", "e  f", "g h"]
    assert split("a '<<E F' <<-E", raw_quotes=True) == ["a", "'<<E F'", "<<-E"]


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    began = time.monotonic()
    values = {"A": "a" * 3000}
    assert expand("${A#" + "*a" * 20 + "b}${A/" + "?" * 20 + "b/x}", values.get) == "a" * 6000
    assert time.monotonic() - began < 10


@given(st.text(alphabet="ab${}:-+?#%/\\'\"<* \t\ufeff\udce9é", max_size=40))
def test_no_word_raises_anything_else(word: str) -> None:
    for dialect in (Dialect(), Dialect("`"), Dialect(plain=True)):
        try:
            expand(word, VALUES.get, dialect)
        except WordError as error:
            assert str(error)
