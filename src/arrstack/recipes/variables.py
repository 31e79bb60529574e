"""The variables of a stage, in the two ways that engines read them.

BuildKit has one table: what was said last counts, and a stage that stands on another inherits its arguments too. buildah has
two: an ENV beats an ARG of that name wherever it stands, and arguments end with their stage.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from arrstack.recipes.instruction import Instruction
from arrstack.recipes.substitution import WordError
from arrstack.recipes.words import Dialect, Undecided, expand

PLATFORM = {
    f"{prefix}{name}": value
    for prefix in ("TARGET", "BUILD")
    for name, value in {"PLATFORM": "linux/amd64", "OS": "linux", "ARCH": "amd64", "VARIANT": ""}.items()
}
"""Arguments that every engine gives a value (Dockerfile reference, "Automatic platform ARGs in the global scope")."""
PROXIES = frozenset(f"{kind}_proxy" for kind in ("http", "https", "ftp", "no", "all"))
UNTOLD = frozenset({"PATH", "TARGETSTAGE", *PROXIES, *(name.upper() for name in PROXIES)})
"""What has a value without a word in the recipe, or not, as the engine likes."""

Values = Mapping[str, str | None]
"""Variable -> value; None where it has one that the recipe alone does not tell."""


def lookup_in(values: Values, name: str) -> str | None:
    if name in values and values[name] is None:
        raise Undecided(name)
    return values.get(name)


@dataclass(frozen=True)
class Globals:
    """What may stand in FROM lines: the arguments before the first of them. `expand` raises WordError and Undecided."""

    values: Values
    dialect: Dialect

    def expand(self, word: str) -> str:
        return expand(word, lambda name: lookup_in(self.values, name), self.dialect)

    def declared(self, instruction: Instruction, passed: Mapping[str, str]) -> "Globals":
        """With the arguments that an ARG declares: as passed, else by default."""
        values = dict(self.values)
        for name, default in declarations(instruction):
            if name in passed:
                values[name] = passed[name]
            elif default is not None:
                values[name] = replace(self, values=values).expand(default)
            elif self.dialect.plain and name in PLATFORM:
                values[name] = PLATFORM[name]
        return replace(self, values=values)


def globals_of(escape: str, plain: bool, passed: Mapping[str, str]) -> Globals:
    """The global scope before any ARG. The plain dialect is buildah's."""
    platform = {name: passed.get(name, value) for name, value in PLATFORM.items()}
    return Globals({} if plain else platform, Dialect(plain=True) if plain else Dialect(escape))


@dataclass
class Variables:
    """The variables of one stage as one engine reads them, as far as its instructions were read."""

    dialect: Dialect
    meta: Globals
    env: dict[str, str | None] = field(default_factory=dict)
    args: dict[str, str | None] = field(default_factory=dict)
    is_open: bool = True
    """Whether the base image, which is not read here, may set more."""

    def lookup(self, name: str) -> str | None:
        for table in (self.env, self.args):
            if name in table:
                return lookup_in(table, name)
        if (self.is_open and name.isidentifier()) or name in UNTOLD:  # no image sets $1 or $@
            raise Undecided(name)
        return None

    def expand(self, word: str) -> str:
        """The word with its variables. Raises WordError, and Undecided for one whose value is not known."""
        return expand(word, self.lookup, self.dialect)

    def inherited(self) -> "Variables":
        """What a stage that stands on this one begins with."""
        return replace(self, env=dict(self.env), args={} if self.dialect.plain else dict(self.args))

    def set_environment(self, instruction: Instruction) -> None:
        """ENV: all of its words are expanded before any of it counts. Raises WordError."""
        found = {}
        for name, value in zip(instruction.value[::2], instruction.value[1::2], strict=True):
            try:
                key = self.expand(name)
            except Undecided as error:
                raise WordError(f"the name '{name}' depends on {error.name}, which the base image may set") from None
            found[key] = self._or_unknown(value)
        self.env |= found

    def declare(self, name: str, default: str | None, passed: Mapping[str, str]) -> str | None:
        """ARG: gives the variable what is passed, else its default, else what it has before the first FROM; where it has
        nothing, it keeps what it had. Returns the value, None where it is not known, or has none: see `lookup`."""
        table = self.args if self.dialect.plain else self.env
        if name in passed:
            value: str | None = passed[name]
        elif default is not None:
            value = self._or_unknown(default)
        elif name in self.meta.values:
            value = self.meta.values[name]
        elif self.dialect.plain and name in PLATFORM:
            value = PLATFORM[name]
        else:
            return None
        table[name] = value
        if self.dialect.plain and name == "TARGETPLATFORM" and default is not None:
            table |= dict.fromkeys(("TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT"))  # buildah takes it apart
        return table[name]

    def _or_unknown(self, word: str) -> str | None:
        try:
            return self.expand(word)
        except Undecided:
            return None


def declarations(instruction: Instruction) -> list[tuple[str, str | None]]:
    """The (name, default) pairs of an ARG; None where it has no default."""
    found = []
    for word in instruction.value:
        name, equals, default = word.partition("=")
        found.append((name, default if equals else None))
    return found
