"""Where the loader would find a needed library: ld.so(8), first the RPATH, then the system's directories."""

import posixpath

from arrstack.verify.facts import Facts, Library

MAX_LINKS = 40
"""Links that are followed on the way to a directory, as many as the kernel does."""
_DEFAULT_DIRECTORIES = (
    "lib",
    "usr/lib",
    "lib64",
    "usr/lib64",
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "lib/aarch64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/local/lib",
)


class Finder:
    """Looks needed libraries up among the files of a target."""

    def __init__(self, facts: Facts) -> None:
        self._links = dict(facts.directory_links)
        self._places: dict[str, set[str]] = {}
        for path in facts.paths:
            directory, name = posixpath.split(path)
            self._places.setdefault(name, set()).add(self._resolved(directory))
        self._system = {self._resolved(directory) for directory in (*_DEFAULT_DIRECTORIES, *facts.loader_directories)}

    def is_present(self, name: str) -> bool:
        """Whether a library of this name is anywhere in the target."""
        return name in self._places

    def places(self, name: str) -> frozenset[str]:
        """The directories in which a library of this name lies."""
        return frozenset(self._places.get(name, ()))

    def finds(self, library: Library, name: str) -> bool:
        """Whether the loader finds it for this library."""
        places = self._places.get(name)
        if not places:
            return False
        if not places.isdisjoint(self._system):
            return True
        own = posixpath.dirname(library.path)
        search = library.elf.search if library.elf else ()
        expanded = (path.replace("$ORIGIN", f"/{own}").replace("${ORIGIN}", f"/{own}") for path in search)
        return any(self._resolved(posixpath.normpath(directory).lstrip("/")) in places for directory in expanded)

    def _resolved(self, directory: str) -> str:
        """A directory without links in its path."""
        done: list[str] = []
        left = directory.split("/")[::-1]
        followed = 0
        while left:
            done.append(left.pop())
            target = self._links.get("/".join(done))
            if target is not None and followed < MAX_LINKS:
                followed += 1
                left += target.split("/")[::-1]
                done = []
        return "/".join(done)
