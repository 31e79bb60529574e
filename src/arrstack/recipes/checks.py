"""What BuildKit refuses of an instruction before it builds anything (frontend/dockerfile/instructions/parse.go)."""

import re

from arrstack.recipes.instruction import Instruction, SyntaxProblem
from arrstack.recipes.mounts import stages_of
from arrstack.recipes.reader import heredoc
from arrstack.recipes.substitution import WordError
from arrstack.recipes.words import expand, unset

INSTRUCTIONS = frozenset(
    "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR".split()
)
FLAGS = {
    "ADD": frozenset("chown chmod link keep-git-dir checksum unpack exclude".split()),
    "COPY": frozenset("chown from chmod link exclude parents".split()),
    "FROM": frozenset({"platform"}),
    "HEALTHCHECK": frozenset("interval timeout start-period start-interval retries".split()),
    "RUN": frozenset("mount network security device".split()),
}
ANYTHING = re.compile(r".*", re.DOTALL)
DURATION = re.compile(r"|0|(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+")
VALUES = {
    "chmod": re.compile(r"0*[0-7]{1,4}|.*[$a-zA-Z=+].*"),
    "network": re.compile("default|none|host"),
    "security": re.compile("sandbox|insecure"),
    "retries": re.compile(r"\d{0,9}"),
    **dict.fromkeys(("interval", "timeout", "start-period", "start-interval"), DURATION),
}
"""What the values of flags follow; octal or symbolic modes, durations as Go writes them."""
MANY = frozenset({"exclude", "mount", "device"})
"""Flags that may stand more than once."""
SWITCHES = frozenset({"link", "keep-git-dir", "unpack", "parents"})
UNREAD_FLAGS = frozenset({"ARG", "STOPSIGNAL"})
"""BuildKit drops the flags of these."""
LEAST = {"ADD": 2, "COPY": 2, "CMD": 0, "ENTRYPOINT": 0}
"""`CMD []` and `ENTRYPOINT []` take away what the base image set."""
ONE = frozenset({"MAINTAINER", "STOPSIGNAL", "USER", "WORKDIR"})
STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
PORT = re.compile(r"[\d.:\[\]a-f-]+(/[a-z]+)?|.*[$'\"].*", re.IGNORECASE)
NAME = re.compile(r"[^'\"\\$`\s=]+")


def check(instruction: Instruction) -> None:
    """Raises SyntaxProblem for an instruction that no engine builds."""
    name, value = instruction.name, instruction.value
    if not name:
        refuse(instruction, "a line continues, and nothing follows it")
    if name not in INSTRUCTIONS:
        refuse(instruction, f"unknown instruction {printable(name)}", f"the instructions are {', '.join(sorted(INSTRUCTIONS))}")
    check_flags(instruction)
    least = LEAST.get(name, 1)
    if len(value) < least:
        refuse(instruction, f"{name} needs at least {least} argument{'s' if least > 1 else ''}")
    check_words(instruction)


def check_words(instruction: Instruction) -> None:
    """What each kind of instruction asks of its words."""
    name, value = instruction.name, instruction.value
    match name:
        case "FROM":
            check_from(instruction)
        case "ADD" | "COPY":
            check_copy(instruction)
        case "ENV" | "LABEL":
            if "" in value[::2]:
                refuse(instruction, f"{name}: a name is empty")
        case "ARG":
            for word in value:
                if not NAME.fullmatch(word.partition("=")[0]):
                    refuse(instruction, f"ARG: '{printable(word.partition('=')[0])}' is no plain name")
        case "EXPOSE":
            if bad := [port for port in value if not PORT.fullmatch(port)]:
                refuse(instruction, f"EXPOSE: '{printable(bad[0])}' is no port")
        case "SHELL":
            if not instruction.is_json:
                refuse(instruction, 'SHELL takes an array: ["/bin/bash", "-c"]')
        case "STOPSIGNAL":
            if len(value[0].split()) != 1:
                refuse(instruction, "STOPSIGNAL takes one signal")
        case "VOLUME":
            if not all(path.strip() for path in value):
                refuse(instruction, "VOLUME: a path is empty")
        case "HEALTHCHECK":
            check_health(instruction)
        case "ONBUILD":
            check_trigger(instruction)
        case "RUN":
            stages_of(instruction)


def check_flags(instruction: Instruction) -> None:
    known = FLAGS.get(instruction.name, frozenset())
    if instruction.name in UNREAD_FLAGS or (instruction.name == "HEALTHCHECK" and instruction.value[:1] == ("NONE",)):
        return
    seen: set[str] = set()
    for flag in instruction.flags:
        name, equals, value = flag.removeprefix("--").partition("=")
        if name not in known:
            told = f"its flags are {', '.join(f'--{each}' for each in sorted(known))}" if known else "it has none"
            refuse(instruction, f"{instruction.name} has no flag --{printable(name)}", told)
        if name in seen and name not in MANY:
            refuse(instruction, f"{instruction.name}: --{name} stands twice")
        if name in SWITCHES and value.lower() not in (("true", "false") if equals else ("",)):
            refuse(instruction, f"{instruction.name}: --{name} is true or false")
        if name not in SWITCHES and not equals:
            refuse(instruction, f"{instruction.name}: --{name} needs a value")
        if not VALUES.get(name, ANYTHING).fullmatch(value):
            refuse(instruction, f"{instruction.name}: --{name} cannot be '{printable(value)}'")
        seen.add(name)


def check_from(instruction: Instruction) -> None:
    value = instruction.value
    if len(value) != 1 and not (len(value) == 3 and value[1].upper() == "AS"):
        refuse(instruction, "FROM takes IMAGE, or IMAGE AS NAME")
    if len(value) == 3 and not STAGE_NAME.fullmatch(value[2].lower()):
        refuse(instruction, f"'{printable(value[2])}' is no name of a stage", "a letter, then letters, digits, '-', '_' and '.'")
    if len(value) == 3 and value[2].lower() == "scratch":
        refuse(instruction, "a stage cannot be called scratch: that is the empty image")


def check_copy(instruction: Instruction) -> None:
    try:
        if heredoc(instruction.value[-1]):
            refuse(instruction, f"{instruction.name}: a here-document is a source, not where to copy to")
    except WordError as error:
        refuse(instruction, f"{instruction.name}: {error}")
    source = instruction.flag("from")
    if source is not None:
        try:
            plain = expand(source, unset) == source
        except WordError:
            plain = False
        if not plain or not source:
            refuse(instruction, f"COPY: --from={printable(source)} is not expanded", "name a stage: FROM ${IMAGE} AS name")


def check_health(instruction: Instruction) -> None:
    kind, *command = instruction.value
    if kind.upper() == "NONE" and command:
        refuse(instruction, "HEALTHCHECK NONE takes no arguments")
    if kind.upper() not in ("NONE", "CMD"):
        refuse(instruction, f"HEALTHCHECK takes NONE or CMD, not {printable(kind)}")
    if kind.upper() == "CMD" and not command:
        refuse(instruction, "HEALTHCHECK CMD needs a command")


def check_trigger(instruction: Instruction) -> None:
    trigger = instruction.trigger
    if trigger is None or trigger.name in ("ONBUILD", "FROM", "MAINTAINER"):
        refuse(instruction, f"{trigger.name if trigger else 'nothing'} cannot stand behind ONBUILD")
    else:
        check(trigger)


def printable(text: str) -> str:
    """A little of a word of the file."""
    return text[:40]


def refuse(instruction: Instruction, message: str, hint: str = "") -> None:
    raise SyntaxProblem(instruction.line, message, hint)
