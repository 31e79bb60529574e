"""A container of buildah's, in which one command runs."""

import contextlib
import os
import re
import signal
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from arrstack.engines.attach import LastWord, RunOptions
from arrstack.engines.command import CERTIFICATE_VARIABLES, CERTIFICATES, PLAIN_NAME, VARIABLES, shell_variables
from arrstack.machine.process import Outcome, Processes

EXIT_REPORT = re.compile(r"subprocess exited with status \d+|Error: exit status \d+")
"""What buildah itself says when the command inside fails; the status says it too."""
STARTERS = ("memfd:buildah", "memfd:runc", "buildah", "crun", "runc")
"""What is in a container's root file system before its program is: the name of the file that it runs begins so."""


@dataclass(frozen=True)
class Container:
    """`contained` and `private` stand before a command: namespaces that end with it, and mounts of its own alone."""

    name: str
    processes: Processes
    contained: Sequence[str]
    private: Sequence[str]

    def stream(
        self, command: Sequence[str], env: Mapping[str, str], mounts: Mapping[Path, str], certificates: Path | None
    ) -> Generator[str, None, int]:
        """Runs a command and yields its lines; returns its status."""
        with Outcome(self.processes.stream([*self.contained, *self._line(command, env, mounts, certificates)])) as lines:
            yield from (line for line in lines if not EXIT_REPORT.fullmatch(line))
        return lines.value

    def attach(self, command: Sequence[str], options: RunOptions, folder: Path) -> int:
        """Runs a command with the caller's streams; its status as a shell has it. `folder` is for what it is handed."""
        line = self._handed_over(command, options, folder)
        given = ["--terminal"] if options.terminal else ["--terminal=false"]
        given += ["--workingdir", options.workdir] if options.workdir else []
        given += [word for volume in options.volumes for word in ("--volume", volume)]
        word = LastWord()
        around = self.private if options.terminal else self.contained
        return word.status(self.processes.attached([*around, *line[:2], *given, *line[2:]], word, end))

    def _handed_over(self, command: Sequence[str], options: RunOptions, folder: Path) -> list[str]:
        """The command line of a run. Its variables come by a file where the image has a shell that reads them: everybody on this
        machine may read command lines."""
        shown = {name: value for name, value in options.env.items() if name == "TERM" or not PLAIN_NAME.fullmatch(name)}
        text = shell_variables({name: value for name, value in options.env.items() if name not in shown})
        if not text or not self._has_shell():
            return self._line(command, options.env, {}, options.certificates)
        file = folder / "environment"  # the folder is its user's alone; inside, the program may be another user's
        file.write_text(text)
        reading = ["/bin/sh", "-c", f'. {VARIABLES} && exec "$@"', "sh", *command]
        return self._line(reading, shown, {file: VARIABLES}, options.certificates)

    def _has_shell(self) -> bool:
        return self.processes.run([*self.contained, *self._line(["/bin/sh", "-c", ":"], {}, {}, None)], check=False).status == 0

    def _line(
        self, command: Sequence[str], env: Mapping[str, str], mounts: Mapping[Path, str], certificates: Path | None
    ) -> list[str]:
        line = ["buildah", "run"]
        seen = dict(env)
        if certificates:
            line += ["--volume", f"{certificates}:{CERTIFICATES}:ro"]
            seen = dict.fromkeys(CERTIFICATE_VARIABLES, CERTIFICATES) | seen
        line += [word for host, inside in mounts.items() for word in ("--volume", f"{host}:{inside}:ro")]
        line += [word for name, value in seen.items() for word in ("--env", f"{name}={value}")]
        return [*line, self.name, "--", *command]


def end(process: int) -> None:
    """Asks the program of a container to end. buildah hands no signal on, and `unshare` ignores this one. A container whose program has not
    begun ends at once."""
    found = programs(process, os.stat("/"))
    with contextlib.suppress(ProcessLookupError):
        for program in found:
            os.kill(program, signal.SIGTERM)
        if not found:
            os.kill(process, signal.SIGKILL)


def programs(process: int, root: os.stat_result) -> list[int]:
    """The container's own program, as docker's signals reach it: the first process from `process` on with another root than ours."""
    try:
        elsewhere = not os.path.samestat(os.stat(f"/proc/{process}/root/"), root)
        if elsewhere and not Path(os.readlink(f"/proc/{process}/exe")).name.startswith(STARTERS):
            return [process]
        # A child is its thread's.
        below = [(thread / "children").read_text() for thread in Path(f"/proc/{process}/task").iterdir()]
    except OSError:  # it ended meanwhile
        return []
    return [found for numbers in below for child in numbers.split() for found in programs(int(child), root)]
