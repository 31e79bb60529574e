r"""${A#p}, ${A%p} and ${A/p/r}: patterns of `*`, `?` and `\` before either, as BuildKit's shell lexer has them.

A match is found by following all states of the pattern at once: no text makes it backtrack.
"""

LONGEST = 4096
"""Characters of a value that ${A/p/r} is applied to: its search is quadratic."""

Token = tuple[str, str]
"""("one", character), ("any", "") or ("many", "")."""


class WordError(ValueError):
    """The word does not follow the rules: an engine refuses it too. The message says what is wrong."""


def tokens(pattern: str) -> list[Token]:
    """Raises WordError for an escape that the engine does not know."""
    found: list[Token] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "*":
            found.append(("many", ""))
        elif char == "?":
            found.append(("any", ""))
        elif char == "\\" and pattern[at : at + 1] not in ("}", "/"):
            if pattern[at : at + 1] not in ("*", "?", "\\"):
                raise WordError(f"'\\{pattern[at : at + 1]}' is no escape in a pattern")
            found.append(("one", pattern[at]))
            at += 1
        elif char != "\\":
            found.append(("one", char))
    return found


def ends(text: str, start: int, pattern: list[Token]) -> list[int]:
    """Where matches of the pattern from `start` end, in order. Each state of the pattern is a bit: no backtracking."""
    last = len(pattern)
    many = sum(1 << i for i, (kind, _) in enumerate(pattern) if kind == "many")
    any_one = sum(1 << i for i, (kind, _) in enumerate(pattern) if kind == "any")

    def closed(states: int) -> int:
        while (more := states | ((states & many) << 1)) != states:
            states = more
        return states

    states = closed(1)
    found = [start] if states >> last & 1 else []
    by_char: dict[str, int] = {}
    for i, (kind, char) in enumerate(pattern):
        if kind == "one":
            by_char[char] = by_char.get(char, 0) | 1 << i
    for at in range(start, len(text)):
        char = text[at]
        wild = char != "\n"
        stepped = states & (by_char.get(char, 0) | (any_one if wild else 0))
        states = closed(stepped << 1 | (states & many if wild else 0))
        if not states:
            break
        if states >> last & 1:
            found.append(at + 1)
    return found


def trimmed(value: str, word: str, operator: str) -> str:
    """${value#word}, ##, % and %%: without the shortest or longest beginning, or end, that matches."""
    longest = word[:1] == operator
    pattern = tokens(word[1:] if longest else word)
    if operator == "%":
        found = ends(value[::-1], 0, pattern[::-1])
        return value[: len(value) - found[-1 if longest else 0]] if found else value
    found = ends(value, 0, pattern)
    return value[found[-1 if longest else 0] :] if found else value


def replaced(value: str, pattern: str, replacement: str, everywhere: bool) -> str:
    """${value/pattern/replacement}: the first match, as long as can be; with `//` all of them, as Go's regexp replaces."""
    wanted = tokens(pattern)
    if everywhere and "$" in replacement:
        raise WordError("a '$' in the replacement of ${A//x/y} stands for a group in one engine")
    if len(value) > LONGEST:
        raise WordError(f"a value of more than {LONGEST} characters is not searched")
    parts: list[str] = []
    at = copied = 0
    while at <= len(value):
        stops = ends(value, at, wanted)
        if not stops:
            at += 1
            continue
        end = stops[-1]
        parts.append(value[copied:at])
        if end > copied or at == 0:  # no empty match right behind a match
            parts.append(replacement)
        copied = end
        at = max(end, at + 1)
        if not everywhere:
            break
    return "".join(parts) + value[copied:]
