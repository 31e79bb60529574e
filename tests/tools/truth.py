"""Random recipes and contexts, and one random change of each: what a real engine makes of both is the truth about keys.

Used by tests/contract/test_keys.py and bench/keys.py. The recipes are small, odd on purpose, and stand on nothing.
"""

import contextlib
import os
import random
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

from arrstack.engines import Buildah, Docker, Engine
from arrstack.errors import BuildError, ConfigError
from arrstack.model import BuildStep, content_id
from arrstack.recipes.config import load
from arrstack.recipes.tiers import Recipe, read

STACK = """\
default-profile = "p"
[[tiers]]
name = "t"
recipe = "t"
context = "t/ctx"
[profiles.p]
description = "random"
[profiles.p.bases]
[profiles.p.archive]
suite = "trixie"
date = "2026-01-01"
[profiles.p.args]
"""
FILES = ("keep", "a", "b", "x", "ab", "xa", "xb", "d/a", "d/b", "d/e/a", "d/e/c.py", "bin-amd64", "c.py", ".h", "amd64/a")
LINKS = ("a", "l0", "l1", "d", "d/e", ".", "..", "/a", "/d/e", "../../../b", "e0/a", "d/a", "nothing", "./b", "ld/e/a", "/")
BUSYBOX = "busybox"
"""A program for RUN, which is in the context where there is one."""
LINK_NAMES = ("l0", "l1", "ld", "d/l", "d/e/up")
NAMES = ("A", "B", "TARGETARCH")
VALUES = ("a", "b", "d", "x", "", "d/a", "ab", "l0")
WORDS = (
    "a b ab d d/ d/. . ./a d/a d/e d/../b /a //b l0 l1 ld d/l ld/a l0/e d/e/up $A ${A} $B x$A x$B 'a' \"b\" \"$A\" '$A' \\a x${A:-b} ${A:+a} "
    "${B:-d} d/$A bin-$TARGETARCH $TARGETARCH/a * ? [ab] [^c] ?b d/* d*/a l*/e *.py d/*/* **/a a* [a-b]b ./* .h"
).split()
NEWER = "${A-a} ${A+a} ${A#a} ${A%a} ${A/a/b} ${B##*/} x${B%%a*}".split()
"""What buildah's lexer does not know."""
IGNORED = "a d d/ *.py **/a **/*.py d/* d/e !d/a !a !d/e/a * **/e/** ./b /ab ?b [ab]".split()
IGNORED_NEWER = ("**.py", "!**/a", "!*/a", "**a", "\ufeffa", " #", "!**.py")
"""What buildah 1.28 reads otherwise; the contexts that we give it are filtered already."""


@dataclass(frozen=True)
class Case:
    """A recipe's lines, its context (path -> content; `-> TARGET` is a link, `+` before the content the executable bit), its
    ignore rules and the arguments that are passed."""

    lines: tuple[str, ...]
    files: Mapping[str, str]
    ignore: tuple[str, ...] = ()
    args: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)

    def write(self, folder: Path) -> Path:
        """Writes it as a stack with one tier. Returns the stack file."""
        context = folder / "t/ctx"
        context.mkdir(parents=True)
        (folder / "t/Dockerfile").write_bytes(self.text.encode("utf-8", "surrogateescape"))
        if self.ignore:
            (folder / "t/Dockerfile.dockerignore").write_text("".join(f"{rule}\n" for rule in self.ignore))
        for path, content in self.files.items():
            target = context / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if content.startswith("-> "):
                os.symlink(content[3:], target)
            elif path == BUSYBOX:
                shutil.copy(content, target)
            else:
                target.write_text(content.removeprefix("+"))
                target.chmod(0o755 if content.startswith("+") else 0o644)
        arguments = "".join(f'{name} = "{value}"\n' for name, value in self.args.items())
        (folder / "stack.toml").write_text(STACK + arguments)
        return folder / "stack.toml"


def plan(stack: Path) -> Recipe | ConfigError:
    """What ours makes of a written case."""
    try:
        return read(load(stack), {})[0]
    except ConfigError as error:
        return error


class Generator:
    """Makes cases. `newer`: with what buildah 1.28 does not know; `busybox`: the program that RUN instructions call;
    without one there are none."""

    def __init__(self, seed: int, newer: bool = False, busybox: Path | None = None) -> None:
        self.chance, self.newer, self.busybox = random.Random(seed), newer, busybox
        self.words = (*WORDS, *NEWER) if newer else WORDS
        self.rules = (*IGNORED, *IGNORED_NEWER) if newer else IGNORED

    def case(self) -> Case:
        stages = self.chance.choice((1, 1, 2, 2, 3))
        self.names: list[str] = []
        lines = [self._heading() for _ in range(self.chance.choice((0, 0, 1)))]
        for number in range(stages):
            lines += self._stage(number, number == stages - 1)
        ignore = tuple(self.chance.choice(self.rules) for _ in range(self.chance.choice((0, 0, 0, 0, 1, 2))))
        ignore = (*ignore, "!keep") if ignore else ()
        ignore = (*ignore, f"!{BUSYBOX}") if ignore else ()
        args = {"A": self.chance.choice(VALUES)} if "ARG A" in "\n".join(lines) and self.chance.random() < 0.3 else {}
        program = {BUSYBOX: str(self.busybox)} if self.busybox else {}
        return Case(tuple(lines), self._files() | program, ignore, args)

    def _files(self) -> dict[str, str]:
        found = {name: self._content() for name in FILES if name == "keep" or self.chance.random() < 0.93}
        for name in LINK_NAMES:
            if self.chance.random() < 0.5:
                found[name] = f"-> {self.chance.choice(LINKS)}"
        return {name: text for name, text in found.items() if not any(other.startswith(name + "/") for other in found)}

    def _content(self) -> str:
        return self.chance.choice(("", "+")) + f"content {self.chance.randrange(1_000_000)}"

    def _heading(self) -> str:
        return f"ARG {self.chance.choice('ABS')}={self.chance.choice(('a', 'b', 's0', 'scratch'))}"

    def _stage(self, number: int, is_last: bool) -> list[str]:
        bases = ["scratch", "scratch", *self.names, *(f'"{name}"' for name in self.names)]
        lines = [f"FROM {self.chance.choice(bases)}"]
        if not is_last or self.chance.random() < 0.2:
            lines[0] += f" AS {self.chance.choice((f's{number}', f's{number}', 's0', 'image'))}"
        for _ in range(self.chance.randint(1, 4)):
            lines.append(self._instruction(number))
        self.names += [lines[0].rpartition(" ")[2]] if " AS " in lines[0] else []
        return [*lines, "COPY keep /last"]

    def _instruction(self, number: int) -> str:
        makers: list[tuple[int, Callable[[int], str]]] = [(6, self._copy), (2, self._env), (2, self._arg), (1, self._text)]
        makers += [(1, self._from_stage)] if number else []
        makers += [(2, self._run)] if self.busybox else []
        makers += [(1, self._heredoc), (1, self._onbuild)] if self.newer else []
        return self.chance.choices([maker for _, maker in makers], [weight for weight, _ in makers])[0](number)

    def _copy(self, number: int) -> str:
        sources = [self.chance.choice(self.words) for _ in range(self.chance.choice((1, 1, 1, 2)))]
        target = f"/o{self.chance.randrange(4)}/"
        if self.chance.random() < 0.1:
            return (
                f"COPY [{', '.join(chr(34) + s.replace(chr(34), '').replace(chr(92), '') + chr(34) for s in (*sources, target))}]"
            )
        flag = self.chance.choice(("", "", "", "--chmod=0700 ", "--chown=1:2 ", "  "))
        return f"{self.chance.choice(('COPY', 'COPY', 'ADD', 'copy'))} {flag}{' '.join(sources)} {target}"

    def _env(self, number: int) -> str:
        name, word = self.chance.choice("AB"), self.chance.choice(VALUES)
        return self.chance.choice(
            (
                f"ENV {name}={word}",
                f'ENV {name}="{word}"',
                f"ENV {name} {word or 'z'}",
                f"ENV {name}=$A{word}",
                f"ENV C='{word}  z'",
            )
        )

    def _arg(self, number: int) -> str:
        name, word = self.chance.choice(NAMES), self.chance.choice(VALUES)
        if name == "TARGETARCH":
            return "ARG TARGETARCH"
        return self.chance.choice((f"ARG {name}", f"ARG {name}={word}", f'ARG {name}="{word}"', f"ARG {name}=$B{word}"))

    def _text(self, number: int) -> str:
        word = self.chance.choice(VALUES)
        return self.chance.choice(
            (
                f'LABEL k="{word}  {word}"',
                f"WORKDIR /w{word}",
                f"USER {len(word)}",
                f'CMD ["{word}", "a  b"]',
                "# a comment",
                "EXPOSE 80",
            )
        )

    def _from_stage(self, number: int) -> str:
        stage = self.chance.choice((*self.names, *self.names, str(self.chance.randrange(number))))
        return f"COPY --from={stage} /last /from/"

    def _run(self, number: int) -> str:
        source = self.chance.choice(("d", "d/e", "$A", "l0", "ld", "a", ".", "d/l", "./d", "../d"))
        option = self.chance.choice((f"source={source}", f"src={source}", f"type=bind,source={source}", f"source=a,src={source}"))
        if self.names and self.chance.random() < 0.3:
            option = f"from={self.chance.choice(self.names)},source=/last"
        script = f"cp -r /m /r{number} || echo 'a  b' >/r{number}; echo $A-$B >/e{number}"
        return f'COPY {BUSYBOX} /bin/busybox\nRUN --mount={option},target=/m ["/bin/busybox", "sh", "-c", "{script}"]'

    def _heredoc(self, number: int) -> str:
        mark = self.chance.choice(("<<E", "<<-E", "<<'E'", '<<"E"'))
        return f"COPY {mark} /h{number}\n{self.chance.choice(VALUES)} $A\n# {self.chance.choice(VALUES)}\nE"

    def _onbuild(self, number: int) -> str:
        return "ONBUILD " + self.chance.choice((self._copy, self._env, self._arg))(number)

    # -- one change

    def changed(self, case: Case) -> Case:
        """The case with one thing changed; it may be the same in the end."""
        change = self.chance.choice(
            (self._file, self._file, self._file, self._link, self._line, self._line, self._line, self._rule, self._passed)
        )
        return change(case)

    def pair(self) -> tuple[Case, Case]:
        """A case and its change."""
        case = self.case()
        return case, self.changed(case)

    def _file(self, case: Case) -> Case:
        files = dict(case.files)
        name = self.chance.choice(sorted(files.keys() - {BUSYBOX}))
        match self.chance.randrange(5):
            case 0:
                del files[name]
            case 1:
                files[f"d/new{self.chance.choice(('', '.py'))}"] = "new"
            case 2 if not files[name].startswith("-> "):
                files[name] = files[name].removeprefix("+") if files[name].startswith("+") else "+" + files[name]
            case _ if not files[name].startswith("-> "):
                files[name] = self._content()
        return replace(case, files=files)

    def _link(self, case: Case) -> Case:
        links = [name for name, text in case.files.items() if text.startswith("-> ")]
        if not links:
            return self._file(case)
        return replace(case, files={**case.files, self.chance.choice(links): f"-> {self.chance.choice(LINKS)}"})

    def _line(self, case: Case) -> Case:
        lines = list(case.lines)
        at = self.chance.randrange(len(lines))
        line = lines[at]
        match self.chance.randrange(6):
            case 0 if not line.startswith("FROM"):
                del lines[at]
            case 1:
                lines[at] = line.replace("  ", " ", 1) if "  " in line else line.replace(" ", "  ", 1)
            case 2 if not line.startswith("FROM"):
                lines[at] = self._instruction(0)
            case 3:
                words = line.split(" ")
                where = self.chance.randrange(1, len(words)) if len(words) > 1 else 0
                words[where] = self.chance.choice((*self.words, *VALUES)) if where else words[where]
                lines[at] = " ".join(words)
            case 4:
                lines.insert(at + 1, self.chance.choice(("# c", "", "ENV C=1", "ARG C=1", "COPY b /b")))
            case _ if at + 1 < len(lines) and not any(each.startswith("FROM") for each in lines[at : at + 2]):
                lines[at], lines[at + 1] = lines[at + 1], line
        return replace(case, lines=tuple(lines))

    def _rule(self, case: Case) -> Case:
        rules = list(case.ignore)
        if rules and self.chance.random() < 0.5:
            rules.pop(self.chance.randrange(len(rules)))
        else:
            rules.insert(self.chance.randrange(len(rules) + 1), self.chance.choice(self.rules))
        return replace(case, ignore=tuple(rules))

    def _passed(self, case: Case) -> Case:
        if not case.args:
            return self._line(case)
        return replace(case, args={name: self.chance.choice(VALUES) for name in case.args})


# -- what an engine makes of it

Build = Callable[[Path, Path, Mapping[str, str]], str | None]
"""(Dockerfile, context, arguments) -> the image's content id; None where the engine refuses it."""


@dataclass(frozen=True)
class Verdict:
    """`kind`: right, missed (the image changed, the inputs did not), over (the inputs did, the image did not), incomplete (the
    staged context makes another image), refused (by ours), unbuilt (by the engine)."""

    kind: str
    told: str = ""


def filtered(recipe: Recipe, destination: Path) -> Path:
    """The context with all that the ignore rules let through: what an engine would be given without us."""
    shutil.copytree(recipe.context.root, destination, symlinks=True)
    kept = {*recipe.context.everything, *recipe.context.folders}
    for folder, names, files in os.walk(destination, topdown=False):
        for name in (*names, *files):
            path = Path(folder, name)
            if str(path.relative_to(destination)) not in kept:
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    return destination


def judged(case: Case, changed: Case, build: Build, folder: Path, stays_inside: bool = True) -> Verdict:
    """Builds a case before and after its change, from the context as it is, and once from the staged one. `stays_inside`: the
    engine holds links of mounts inside the context, which buildah does not; such cases are refused."""
    images: list[str | None] = []
    recipes: list[Recipe] = []
    for number, each in enumerate((case, changed)):
        found = plan(each.write(folder / str(number)))
        if isinstance(found, ConfigError):
            return Verdict("refused", found.message)
        if found.context.relinked and not stays_inside:
            return Verdict("refused", "a mount leads out of the context")
        recipes.append(found)
        images.append(build(found.dockerfile.path, filtered(found, folder / f"raw{number}"), found.args))
        if images[-1] is None:
            return Verdict("unbuilt", each.text)
    before, after = (recipe.planned.inputs for recipe in recipes)
    staged = recipes[0].write_to(folder / "staged")

    def steady(number: int) -> bool:
        """Whether the engine agrees with itself: of two stages with one name buildah takes now this, now that one."""
        recipe, context = recipes[number], folder / f"raw{number}"
        return all(build(recipe.dockerfile.path, context, recipe.args) == images[number] for _ in range(3))

    kind, told = "right", ""
    if (from_staged := build(folder / "staged/Dockerfile", staged, recipes[0].args)) != images[0]:
        kind, told = "incomplete", f"{from_staged} and not {images[0]}"
    elif images[0] == images[1]:
        kind = "right" if before.digest == after.digest else "over"
    elif before.digest == after.digest:
        kind = "missed"
    if kind in ("missed", "incomplete") and not (steady(0) and steady(1)):
        return Verdict("unbuilt", "the engine does not agree with itself")
    return Verdict(kind, told)


class Untrue(AssertionError):
    """A change of the image that the inputs do not show, or a staged context that makes another image."""


def verdicts(generator: Generator, engine: Engine, folder: Path, count: int, workers: int = 2) -> Iterator[Verdict]:
    """Judges pairs until `count` of them could be judged. Raises Untrue for one that is missed or incomplete."""
    build = builder(engine)

    def judge(pair: tuple[Case, Case]) -> Verdict:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            return judged(*pair, build, Path(own), not isinstance(engine, Buildah))

    done = 0
    with ThreadPoolExecutor(workers) as pool:
        while done < count:
            pairs = [generator.pair() for _ in range(8 * workers)]
            for pair, verdict in zip(pairs, pool.map(judge, pairs), strict=True):
                if verdict.kind in ("missed", "incomplete"):
                    raise Untrue(told(*pair, verdict))
                done += verdict.kind in ("right", "over")
                yield verdict
            sweep(engine)


def sweep(engine: Engine) -> None:
    """Removes what was built: a store in memory would fill it."""
    engine.remove(engine.images(), unnamed=True)
    if isinstance(engine, Docker):
        engine.processes.run(["docker", "system", "prune", "--all", "--force"])
        engine.processes.run(["docker", "builder", "prune", "--all", "--force"])


def told(case: Case, changed: Case, verdict: Verdict) -> str:
    files = "".join(f"  {name}: {text}\n" for name, text in sorted(case.files.items()))
    other = {name: text for name, text in changed.files.items() if case.files.get(name) != text}
    gone = sorted(case.files.keys() - changed.files.keys())
    passed = f"{case.ignore} {changed.ignore} {case.args} {changed.args}"
    return f"{verdict}\n{case.text}-- changed:\n{changed.text}-- files:\n{files}-- {other} {gone} {passed}"


def builder(engine: Engine) -> Build:
    """Builds with an engine of the product."""

    def build(dockerfile: Path, context: Path, args: Mapping[str, str]) -> str | None:
        reference = f"localhost/arrstack/truth:{threading.get_ident()}"
        step = BuildStep("truth", context, dockerfile, args)
        with contextlib.suppress(BuildError):
            for _ in engine.build(step, reference, BytesIO()):
                pass
            return content_id(engine.config(reference))
        return None

    return build
