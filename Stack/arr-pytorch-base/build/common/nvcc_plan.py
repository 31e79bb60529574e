"""What nvcc plans to do, as parts: pure functions over the text that `nvcc --dryrun` prints, and over the parts.

    variables, parts = nvcc_plan.parse(told, "arrstack")
    [part.what for part in parts]     # preprocess, preprocess, cudafe, cicc, ptxas, fatbinary, host

What nvcc puts between the parts are files with random names. Here they have fixed names, which do not change with the other
architectures: the same source makes the same parts, and one architecture more makes only its own.
"""

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

RANDOM = re.compile(r"tmpxft_[0-9a-f]+_[0-9a-f]+-\d+_")
"""How nvcc begins the names of files between the parts: its process, and a number that changes with the architectures."""
ASSIGNMENT = re.compile(r"^(\w+)=(.*)$")
VARIABLE = re.compile(r"\$(\w+)")
TOOLS = {"cudafe++": "cudafe", "cicc": "cicc", "ptxas": "ptxas", "fatbinary": "fatbinary"}
ARCH_LIST = "-D__CUDA_ARCH_LIST__="
TARGET = re.compile(r"^\.target sm_\w+", re.MULTILINE)
"""The line of a PTX file that names its architecture, up to its options (PTX ISA, "Directives")."""
NO_WARNINGS = ("-Wp,", "-Wa,", "-Wl,")
"""How options for other tools begin: like a warning."""
KINDS = re.compile(r"[a-z][a-z-]*(?:,[a-z][a-z-]*)*")
"""What follows nvcc's own `-Werror` (CUDA Compiler Driver, "--Werror")."""
PLACE = re.compile(r"^# \d+ \".*$", re.MULTILINE)
"""A line of the host's stubs that names the file they came from, whose name has the architecture and the compile's folder."""


class Unknown(Exception):
    """nvcc's plan has something that is not known here."""


@dataclass(frozen=True)
class Part:
    """One command of nvcc's plan. `arch` as the command names it (`sm_90`, `compute_90`, `900`); '' where it is for all."""

    what: str
    arch: str
    argv: "list[str]"


def tool(argv: "list[str]") -> str:
    """What a command of the plan does. Raises Unknown."""
    name = os.path.basename(argv[0])
    if name in TOOLS:
        return TOOLS[name]
    if "-E" in argv:
        return "preprocess"
    if "-c" in argv:
        return "host"
    raise Unknown(f"the plan runs {name}")


def architecture(argv: "list[str]") -> str:
    for place, word in enumerate(argv):
        if word.startswith("-arch="):
            return word[6:]
        if word == "-arch":
            return argv[place + 1]
        if word.startswith("-D__CUDA_ARCH__=") and "-E" in argv:
            return "compute_" + word[len("-D__CUDA_ARCH__=") : -1]
    return ""


def parse(plan: str, namespace: str = "") -> "tuple[dict[str, str], list[Part]]":
    """nvcc's plan as `--dryrun` prints it: the variables that it sets, and the commands with fixed names. Raises Unknown."""
    variables: "dict[str, str]" = {}
    parts = []
    for line in fixed(plan).splitlines():
        if not line.startswith("#$ "):
            continue
        told = line[3:]
        assigned = ASSIGNMENT.match(told)
        if assigned:
            variables[assigned[1]] = assigned[2]
        elif not told.startswith(("-- ", "rm ")):
            argv = [renamed(filled(word, variables), namespace) for word in shlex.split(told)]
            parts.append(Part(tool(argv), architecture(argv), argv))
    if not parts or parts[-1].what != "host":
        raise Unknown("the plan does not end with the host's compilation")
    return variables, settled(parts)


def settled(parts: "list[Part]") -> "list[Part]":
    """The same parts with names that do not change with the other architectures: nvcc names an architecture's files by it only
    where there are several, and the host's by the last of them. Raises Unknown."""
    virtual = [part.arch for part in parts if part.what == "cicc"]
    if not virtual:
        raise Unknown("the plan makes no device code")
    last = f".{virtual[-1]}."
    host = re.compile(re.escape(last) + r"(?=cudafe1\.)")
    single = re.compile(r"\.(?=(?:cpp1\.ii|ptx|cubin|cudafe1\.\w[\w.]*)(?:$|,))")
    found = []
    for part in parts:
        argv = part.argv
        if len(virtual) == 1:
            argv = [word if word.endswith((".cu", ".o")) else single.sub(last, word) for word in argv]
        if part.what in ("cudafe", "host"):
            argv = [host.sub(".", word) for word in argv]
        found.append(Part(part.what, part.arch, argv))
    return found


def fixed(plan: str) -> str:
    """The plan with names that say nothing of the process. Raises Unknown where two files would have one name."""
    names = set(re.findall(RANDOM.pattern + r"[\w.+-]+", plan))
    if len({RANDOM.sub("", name) for name in names}) != len(names):
        raise Unknown("two files between the parts have one name")
    return RANDOM.sub("", plan)


def filled(word: str, variables: "dict[str, str]") -> str:
    """The word with the values of the plan's variables that it names, as the shell would have it: CUDA 13 calls `$CICC_PATH/cicc`."""
    return VARIABLE.sub(lambda found: variables.get(found[1], found[0]), word)


def renamed(word: str, namespace: str) -> str:
    """Thrust and CUB put the list of architectures into a namespace, and read it for nothing else: with another list every
    kernel has another name, and every part is another. `namespace` is one name, whatever the list."""
    return ARCH_LIST + namespace if namespace and word.startswith(ARCH_LIST) else word


def without_host_warnings(argv: "list[str]") -> "list[str]":
    """The command without warnings meant for the host compiler: CMake writes clang's, and nvcc's host compiler is gcc, which stops
    at a name that it does not know. They are no part of the code."""
    out: "list[str]" = []
    words = iter(zip(argv, [*argv[1:], ""], strict=True))
    for word, after in words:
        if word in ("-Xcompiler", "--compiler-options"):
            next(words, None)
            kept = wanted(after)
            out += [word, kept] if kept else []
        elif word.startswith(("-Xcompiler=", "--compiler-options=")):
            name, _, value = word.partition("=")
            kept = wanted(value)
            out += [f"{name}={kept}"] if kept else []
        elif not warns(word) or word == "-Wno-deprecated-gpu-targets" or (word == "-Werror" and KINDS.fullmatch(after)):
            out.append(word)
    return out


def warns(option: str) -> bool:
    return option.startswith("-W") and not option.startswith(NO_WARNINGS)


def wanted(options: str) -> str:
    """Of options for the host compiler, joined by commas, those that are no warnings."""
    return ",".join(option for option in options.split(",") if not option.startswith("-W"))


def value_of(argv: "list[str]", flag: str) -> str:
    return argv[argv.index(flag) + 1] if flag in argv[:-1] else ""


def halves(parts: "list[Part]") -> "tuple[list[Part], list[Part]]":
    """What reads the source, and what makes the code: all that the first cicc waits for and every preprocessing, then the rest."""
    first = next(place for place, part in enumerate(parts) if part.what == "cicc")
    reads = [part for part in parts[first:] if part.what == "preprocess"]
    return parts[:first] + reads, [part for part in parts[first:] if part.what != "preprocess"]


def shared(parts: "list[Part]", takes: "dict[str, str]") -> "list[Part]":
    """The parts with PTX made once: `takes` names for an architecture the one whose PTX it takes (`compute_89` -> `compute_80`). What
    is taken is made before all others, and a part `share` stands in place of a cicc."""
    found = [part for part in parts if part.what == "cicc" and part.arch in takes.values()]
    for part in parts:
        if part.what == "cicc" and part.arch in takes:
            outputs = [word for flag in ("-o", "--stub_file_name") if (word := value_of(part.argv, flag))]
            base = takes[part.arch]
            pairs = [word for path in outputs for word in (path.replace(f".{part.arch}.", f".{base}."), path)]
            found.append(Part("share", part.arch, [part.arch.replace("compute", "sm"), *pairs]))
        elif part not in found:
            found.append(part)
    return found


def steps(parts: "list[Part]") -> "list[list[Part]]":
    """The parts in steps: those of one step do not wait for each other. What is shared waits for all of cicc, and ptxas for that."""
    alone = [[part] for part in parts if part.what not in ("cicc", "share", "ptxas")]
    code = [[part for part in parts if part.what == what] for what in ("cicc", "share", "ptxas")]
    return [step for step in code if step] + alone


def packed(parts: "list[Part]", packer: "list[str]") -> "list[Part]":
    """The parts with another program in fatbinary's place, and its options before the others; an empty list leaves them."""
    return [
        Part(part.what, part.arch, [*packer, *part.argv[1:]]) if packer and part.what == "fatbinary" else part for part in parts
    ]


def code_of(text: str) -> str:
    """PTX or the host's stubs without the lines that differ where the code does not."""
    return PLACE.sub("", TARGET.sub("", text))


def with_dependencies(parts: "list[Part]", folder: str) -> "list[Part]":
    """The same parts, and each preprocessing writes what it read: nvcc reads that from the host's text alone."""
    return [
        Part(part.what, part.arch, [*part.argv, "-MD", "-MF", f"{folder}/{number}.d", "-MT", "x"])
        if part.what == "preprocess"
        else part
        for number, part in enumerate(parts)
    ]


def dependency_file(target: str, folder: str) -> str:
    """What all preprocessings read, as one rule of make."""
    names: "dict[str, None]" = {}
    for path in sorted(Path(folder).glob("*.d")):
        names.update(dict.fromkeys(escaped_prerequisites(path.read_text())))
    return f"{target}: " + " \\\n  ".join(names) + "\n"


def escaped_prerequisites(rule: str) -> "list[str]":
    """What a rule of make names after its target, spaces still escaped."""
    return re.findall(r"(?:[^\s\\]|\\.)+", rule.replace("\\\n", " ").split(":", 1)[1])


def prerequisites(rule: str) -> "list[str]":
    """The files that a rule of make names after its target."""
    return [re.sub(r"\\(.)", r"\1", name) for name in escaped_prerequisites(rule)]
