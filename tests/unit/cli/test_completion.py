"""What a shell offers, asked by the script that it was given."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fakes.command_line import arrstack


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["pl"], {"plan"}),
        (["run", "arr-t"], {"arr-trainer"}),
        (["launch", "--dr"], {"--dry-run"}),
        (["--stack", f"{ROOT}/examples/small/stack.toml", "why", "small-a"], {"small-app", "small-agent"}),
        (["why", "arr-trainer", ""], set()),
        (["shell", "arr-t"], {"arr-trainer"}),
        (["shell", "arr-pytorch-base/t"], {"arr-pytorch-base/torch"}),
        (["export", "arr-trainer", "d"], {"docker", "docker-archive:"}),
        (["export", "arr-trainer", "oci"], {"oci-archive:"}),
        (["verify", "--gpu", "rtx409"], {"rtx4090"}),
    ],
)
def test_bash_completes_commands_options_and_the_stack_s_tiers(tmp_path: Path, words: list[str], offered: set[str]) -> None:
    command = tmp_path / "arrstack"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m arrstack "$@"\n')
    command.chmod(0o755)
    line = ["arrstack", *words]
    script = (
        f"source <(arrstack completion bash); COMP_WORDS=({shlex.join(line)}); COMP_CWORD={len(words)}; "
        '"$(complete -p arrstack | sed "s/.*-F \\([^ ]*\\) .*/\\1/")" arrstack; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == offered, done.stderr


def test_there_is_a_script_for_each_shell_that_people_have() -> None:
    for shell, marks in (("zsh", "compdef"), ("fish", "complete --command arrstack"), ("bash", "complete -o default")):
        assert marks in arrstack("completion", shell).stdout
