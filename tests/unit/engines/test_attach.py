"""What a program writes, without what buildah says at the end. The reports are those of buildah 1.28."""

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arrstack.engines.attach import LastWord

REPORT = b"subprocess exited with status 7\nsubprocess exited with status 7\nError: exit status 7\n"


def handed_on(data: bytes, status: int, size: int = 1) -> tuple[bytes, LastWord]:
    word = LastWord()
    told = b"".join(word.feed(data[at : at + size]) for at in range(0, len(data), size))
    return told + word.end(status), word


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize(
    "said", [b"", b"no newline", b"a\nsubprocess exited by itself\n", b"\xff\x00Error: exit status x\n", b"s" * 3000]
)
def test_the_program_s_bytes_come_without_buildah_s_last_word(said: bytes, size: int) -> None:
    assert handed_on(said + REPORT, 7, size)[0] == said


def test_what_a_program_itself_says_so_stays_where_it_ended_well() -> None:
    assert handed_on(REPORT, 0)[0] == REPORT


def test_bytes_are_handed_on_as_they_come() -> None:
    assert LastWord().feed(b"password: ") == b"password: "
    word = LastWord()
    assert (word.feed(b"step 1\nsub"), word.feed(b"marine\n")) == (b"step 1\n", b"submarine\n")


@given(st.binary(max_size=300).map(lambda data: data.replace(b"status", b"")), st.integers(1, 9))
def test_no_byte_is_lost(data: bytes, size: int) -> None:
    assert handed_on(data, 1, size)[0] == data


@pytest.mark.parametrize(
    ("reason", "status"),
    [(b'exec: "nope": executable file not found in $PATH', 127), (b"fork/exec /etc/passwd: permission denied", 126)],
)
def test_a_program_that_did_not_start_is_told_with_its_reason_alone(reason: bytes, status: int) -> None:
    said = b"process failed to start with error: " + reason + b"process exited with error: exec: not started"
    told, word = handed_on(said + b"subprocess exited with status 1\nError: exit status 1\n", 1)
    assert (told, word.status(1)) == (reason + b"\n", status)


def test_the_signal_that_ended_a_program_is_known() -> None:
    told, word = handed_on(b"err\nsubprocess exited on killed\nsubprocess exited with status 1\nError: exit status 1\n", 1)
    assert (told, word.status(1)) == (b"err\n", 128 + signal.SIGKILL)
