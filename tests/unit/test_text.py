"""Foreign text: every character that draws nothing is seen, and no text makes a line of its own."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrstack.text import visible, visible_json, visible_lines

ANY = st.text(st.characters(exclude_categories=()), max_size=60)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with ‘quotes’ and an é", "plain, with ‘quotes’ and an é"),
        ("a\x1b]52;c;cm0gLXJm\x07b", r"a\x1b]52;c;cm0gLXJm\x07b"),  # the clipboard
        ("\x1b[2J\x1b[H", r"\x1b[2J\x1b[H"),
        ("\x9b31m", r"\x9b31m"),  # CSI in one character
        ("\x90q\x9c", r"\x90q\x9c"),
        ("gnp.\u202eexe", r"gnp.\u202eexe"),
        ("a\u200bb\ufeffc\xadd", r"a\u200bb\ufeffc\xadd"),
        ("v1\nerror: not ours", r"v1\nerror: not ours"),
        ("50%\r100%", r"50%\r100%"),
        ("a\u2028b\x85c", r"a\u2028b\x85c"),
        ("\U000e0041", r"\U000e0041"),
        ("caf\udce9.txt", r"caf\xe9.txt"),  # a file name that is not UTF-8
        ("\ud800", r"\ud800"),
        ("a\tb", "a b"),
        ("\u2666\ufe0f Ruby", "\u2666\ufe0f Ruby"),  # the form of a symbol
        ("a\ufe0fb\ufe0e", r"a\ufe0fb\ufe0e"),
    ],
)
def test_what_draws_nothing_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(ANY)
def test_whatever_comes_no_control_format_or_separator_character_is_left_and_it_can_be_encoded(text: str) -> None:
    shown = visible(text)
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Zl", "Zp", "Cs"}
    assert not set(shown) & set("\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
    shown.encode()


@given(ANY)
def test_showing_twice_is_showing_once(text: str) -> None:
    assert visible(visible(text)) == visible(text)


@given(ANY)
def test_of_a_message_of_several_lines_only_the_first_stands_at_the_margin(text: str) -> None:
    first, *rest = visible_lines(text).splitlines() or [""]
    assert all(line.startswith("  ") for line in rest)
    assert first == visible(text.split("\n")[0])


@given(ANY, st.sampled_from([None, 1]))
def test_json_keeps_its_value_and_holds_no_such_character(text: str, indent: int | None) -> None:
    document = visible_json(json.dumps({"line": [text]}, ensure_ascii=False, indent=indent))
    assert json.loads(document) == json.loads(json.dumps({"line": [text]}))
    assert visible(document.replace("\n", "")) == document.replace("\n", "")
