"""`--deep`: instructions that the baseline processor lacks, outside of the kernels that are chosen at run time.

A library for x86-64 must start on any such processor. PyTorch's kernels for AVX2 and AVX512 stand in namespaces of their own and
are called after a look at the CPU; the same instructions anywhere else (a flag that leaked into other files) end in SIGILL.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from arrstack.artifacts.files import Level, Problem

Disassembler = Callable[[Sequence[str]], Iterable[bytes]]
"""Runs a command and yields the lines of its output: the disassembly of a large library is several gigabytes."""

_FUNCTION = re.compile(rb"^(?:[0-9a-f]+ )?<([^>]+)>:")
_BEYOND = re.compile(rb"\t(v[a-z0-9]+)\s[^#\n]*%[xyz]mm|\t(andn|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx)[lq]?\s")


def foreign_instructions(path: str, on_disk: str, disassemble: Disassembler, kernels: Sequence[str]) -> Iterator[Problem]:
    """One problem for a library whose functions outside of `kernels` (parts of symbol names) use AVX, AVX2, AVX512 or BMI2."""
    found: dict[str, str] = {}
    function = b""
    skip = True
    for line in disassemble(["objdump", "-d", "--no-show-raw-insn", "--no-addresses", on_disk]):
        if match := _FUNCTION.match(line):
            function = match[1]
            skip = any(part.encode() in function for part in kernels) or function.decode("ascii", "replace") in found
        elif not skip and (instruction := _BEYOND.search(line)):
            found[function.decode("ascii", "replace")] = (instruction[1] or instruction[2]).decode()
            skip = True
    if found:
        some = ", ".join(f"{name} ({instruction})" for name, instruction in sorted(found.items())[:5])
        message = f"{len(found)} functions outside of the kernels' namespaces use instructions beyond x86-64's baseline: {some}"
        yield Problem(
            Level.WARNING, path, message, "harmless where they ask the CPU first, SIGILL on an old one where they do not"
        )
