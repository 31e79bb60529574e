"""Pure: an image's own list of archives -> those with security updates. Source: sources.list(5)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from arrstack.contents.packages import stanzas

MOST_ARCHIVES = 50
_LINE = re.compile(r"deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)")


@dataclass(frozen=True)
class Archive:
    """An archive of packages: `url` is its root, `suite` and `components` as its folder `dists` has them."""

    url: str
    suite: str
    components: tuple[str, ...]

    @property
    def is_security(self) -> bool:
        return self.suite.endswith(("-security", "/updates"))


def archives(path: str, text: str) -> Iterator[Archive]:
    """Those that a file of `etc/apt` names, in either of its two forms."""
    if path.endswith(".sources"):
        for fields in stanzas(text):
            if fields.get("Enabled", "yes").lower() != "no" and "deb" in fields.get("Types", "").split():
                for url in fields.get("URIs", "").split():
                    yield from (
                        Archive(url, s, tuple(fields.get("Components", "").split())) for s in fields.get("Suites", "").split()
                    )
        return
    for line in text.splitlines():
        if match := _LINE.fullmatch(line.partition("#")[0].strip()):
            yield Archive(match[1], match[2], tuple(match[3].split()))
