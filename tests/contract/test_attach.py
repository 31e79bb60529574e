"""A container with the caller's own streams, or terminal."""

import contextlib
import os
import pty
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from arrstack.engines import Buildah, RunOptions
from arrstack.errors import ConfigError
from tests.contract.conftest import BASE, Workshop, eventually

PAUSE = "sleep 0.2"
"""A daemon now and then loses what a program wrote that ended at once."""


@contextlib.contextmanager
def standard(**descriptors: int) -> Iterator[None]:
    """This process's standard streams (`stdin`, `stdout`, `stderr`) in place of pytest's."""
    numbers = {"stdin": 0, "stdout": 1, "stderr": 2}
    kept = {number: os.dup(number) for number in numbers.values()}
    try:
        for name, descriptor in descriptors.items():
            os.dup2(descriptor, numbers[name])
        yield
    finally:
        for number, copy in kept.items():
            os.dup2(copy, number)
            os.close(copy)


def test_every_byte_goes_in_and_comes_out_and_errors_stay_apart(
    workshop: Workshop, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    data = bytes(range(256)) * 4096 + b"no newline at the end"
    (tmp_path / "in").write_bytes(data)
    script = f"cat; printf 'an error' >&2; {PAUSE}; exit 3"
    with (tmp_path / "in").open("rb") as file, standard(stdin=file.fileno()):
        status = workshop.engine.attach(BASE, ["sh", "-c", script], RunOptions())
    assert (status, *capfdbinary.readouterr()) == (3, data, b"an error")


@pytest.mark.parametrize(("program", "status"), [("no-such-program", 127), ("/bin/no-such-program", 127), ("/etc", 126)])
def test_a_program_that_is_not_there_has_the_shell_s_status(
    workshop: Workshop, program: str, status: int, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert workshop.engine.attach(BASE, [program], RunOptions()) == status
    assert program.encode() in capfdbinary.readouterr().err


def test_what_a_signal_ends_has_the_shell_s_status(workshop: Workshop) -> None:
    if not isinstance(workshop.engine, Buildah):
        pytest.skip("in a container of docker the program is the first process, which cannot kill itself")
    assert workshop.engine.attach(BASE, ["sh", "-c", f"{PAUSE}; kill -9 $$"], RunOptions()) == 137


def test_folders_of_the_host_and_the_folder_to_work_in(
    workshop: Workshop, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for name in ("read", "written"):
        (tmp_path / name).mkdir()
    (tmp_path / "read/file").write_text("read me\n")
    options = RunOptions({"NAMED": "a b"}, [f"{tmp_path}/read:/read:ro", f"{tmp_path}/written:/written"], "/written")
    script = f'cat /read/file; echo "$NAMED" >made; touch /read/no 2>/dev/null || echo refused; {PAUSE}'
    assert workshop.engine.attach(BASE, ["sh", "-c", script], options) == 0
    assert capfdbinary.readouterr().out == b"read me\nrefused\n"
    assert (tmp_path / "written/made").read_text() == "a b\n"


def test_a_terminal_is_one_inside(workshop: Workshop) -> None:
    ours, theirs = pty.openpty()
    with standard(stdin=theirs, stdout=theirs, stderr=theirs):
        script = f'test -t 0 && test -t 1 && echo "$TERM"; {PAUSE}; exit 4'
        status = workshop.engine.attach(BASE, ["sh", "-c", script], RunOptions({"TERM": "vt220"}, terminal=True))
    os.close(theirs)
    told = os.read(ours, 1000).splitlines()  # buildah's own last word is on the terminal too
    assert (status, told[0]) == (4, b"vt220")
    os.close(ours)


def test_a_request_to_end_reaches_the_program_which_ends_as_it_wishes(
    workshop: Workshop, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    def ask() -> None:
        assert eventually(lambda: (tmp_path / "started").exists())
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=ask)
    thread.start()
    script = f"trap 'echo ended; {PAUSE}; exit 7' TERM; touch /shared/started; while :; do sleep 0.1; done"
    assert workshop.engine.attach(BASE, ["sh", "-c", script], RunOptions(volumes=[f"{tmp_path}:/shared"])) == 7
    thread.join()
    assert capfdbinary.readouterr().out == b"ended\n"


def test_buildah_says_that_it_has_no_gpu_to_give(workshop: Workshop) -> None:
    if isinstance(workshop.engine, Buildah):
        with pytest.raises(ConfigError, match="hands no GPU"):
            workshop.engine.attach(BASE, ["true"], RunOptions(gpus="all"))


def command_lines() -> str:
    """Those of all processes, as everybody on this machine may read them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_text(errors="replace"))
    return "\n".join(found)


def test_a_variable_s_value_stands_in_no_command_line(workshop: Workshop, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    secret = "it's $HOME \\ planted-" + os.urandom(8).hex()
    script = f'printf "%s" "$PLANTED"; sleep 1; {PAUSE}'
    over, seen = threading.Event(), []

    def look() -> None:
        while not over.wait(0.1):
            seen.append(command_lines())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        assert workshop.engine.attach(BASE, ["sh", "-c", script], RunOptions({"PLANTED": secret})) == 0
    finally:
        over.set()
        thread.join()
    assert capfdbinary.readouterr().out.decode() == secret
    assert any("sleep" in each for each in seen)
    assert not [each for each in seen if "planted-" in each]
