"""`--deep`: instructions that the baseline processor lacks, outside of the kernels that are chosen at run time.

A library for x86-64 must start on any such processor. PyTorch's kernels for AVX2 and AVX512 stand in namespaces of their own and
are called after a look at the CPU; the same instructions anywhere else (a flag that leaked into other files) end in SIGILL.
"""

import re
from collections.abc import Callable, Generator, Iterator, Sequence

from arrstack.artifacts.files import Level, Problem

Disassembler = Callable[[Sequence[str]], Generator[str, None, int]]
"""Runs a command, yields the lines of its output (the disassembly of a large library is gigabytes), and returns its status."""

_FUNCTION = re.compile(r"^(?:[0-9a-f]+ )?<([^>]+)>:")
_BEYOND = re.compile(r"\t(v[a-z0-9]+)\s[^#\n]*%[xyz]mm|\t(andn|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx)[lq]?\s")
_LONGEST_LINE = 1000


def foreign_instructions(path: str, on_disk: str, disassemble: Disassembler, kernels: Sequence[str]) -> Iterator[Problem]:
    """One problem for a library whose functions outside of `kernels` (parts of symbol names) use AVX, AVX2, AVX512 or BMI2, and
    one where the disassembler failed: then not all of it was looked at."""
    found: dict[str, str] = {}
    command = ["objdump", "-d", "--no-show-raw-insn", "--no-addresses", on_disk]
    status, last = _search(disassemble(command), kernels, found)
    if status:
        message = f"objdump ended with status {status}: not all of it was disassembled"
        yield Problem(Level.ERROR, path, f"{message} ({last})" if last else message)
    if found:
        some = ", ".join(f"{name} ({instruction})" for name, instruction in sorted(found.items())[:5])
        message = f"{len(found)} functions outside of the kernels' namespaces use instructions beyond x86-64's baseline: {some}"
        hint = "harmless where they ask the CPU first, SIGILL on an old one where they do not"
        yield Problem(Level.WARNING, path, message, hint)


def _search(lines: Generator[str, None, int], kernels: Sequence[str], found: dict[str, str]) -> tuple[int, str]:
    """Notes in `found` the first such instruction of each function; returns the status, and the last line that was no code."""
    function, skip, last = "", True, ""
    while True:
        try:
            line = next(lines)[:_LONGEST_LINE]
        except StopIteration as end:
            return int(end.value or 0), last
        if match := _FUNCTION.match(line):
            function = match[1]
            skip = any(part in function for part in kernels) or function in found
        elif not line.startswith("\t") and line.strip():
            last = line.strip()
        elif not skip and (instruction := _BEYOND.search(line)):
            found[function] = instruction[1] or instruction[2]
            skip = True
