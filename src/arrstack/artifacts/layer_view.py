"""Which of the files that the layers of an image hold are seen in the end.

Source: OCI image specification 1.1, "Image Layer Filesystem Changeset": whiteouts, "Changeset over existing files".
"""

from dataclasses import dataclass, field


@dataclass
class LayerView:
    """What the layers read so far, the uppermost first, have decided; the one that is being read apart from those above.

    A layer above that has something else than a folder at a path hides what a lower one has there and below it; one that has
    a folder there, by an entry or by what lies in it, hides what is none.

        view = LayerView()
        view.take("lib/x.so")   # True: it is seen
        view.next_layer()
        view.take("lib")        # False: a layer above has a folder there
    """

    owed: dict[str, list[str]] = field(default_factory=dict)
    """By target, the hard links whose content was not met yet, because a layer above hides that name."""
    _files: set[str] = field(default_factory=set)
    _folders: set[str] = field(default_factory=set)
    _hidden: set[str] = field(default_factory=set)
    _here: set[str] = field(default_factory=set)
    _folders_here: set[str] = field(default_factory=set)
    _hidden_here: set[str] = field(default_factory=set)
    _links_here: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Paths that are decided."""
        return len(self._files) + len(self._here)

    def hide(self, path: str) -> None:
        """A whiteout: it hides what lies below it, not what its own layer adds."""
        self._hidden_here.add(path)

    def folder(self, path: str) -> None:
        self._folders_here.update((*_above(path), path))

    def is_here(self, path: str) -> bool:
        """Whether this layer has had something else than a folder at this path already."""
        return path in self._here

    def take(self, path: str) -> bool:
        """Whether what this layer has at this path, which is no folder, is what is seen there."""
        self._here.add(path)
        self._folders_here.update(_above(path))
        return self._is_seen(path)

    def take_link(self, path: str, target: str) -> bool:
        """`take` for a hard link: where it is seen, the content of its target counts, even if that name is not."""
        seen = self.take(path)
        if seen:
            self._links_here[path] = target
        return seen

    def owed_here(self) -> dict[str, list[str]]:
        """At a layer's end, the hard links whose target it holds under a name that is not seen; they are no longer owed."""
        for path, target in self._links_here.items():
            # A link to a link of the same layer is one to that one's file.
            target = self._links_here.get(target, target)
            if target not in self._here or not self._is_seen(target):
                self.owed.setdefault(target, []).append(path)
        self._links_here = {}
        return {target: self.owed.pop(target) for target in list(self.owed) if target in self._here}

    def next_layer(self) -> None:
        self._files |= self._here
        self._folders |= self._folders_here
        self._hidden |= self._hidden_here
        self._here, self._folders_here, self._hidden_here = set(), set(), set()

    def _is_seen(self, path: str) -> bool:
        if path in self._files or path in self._folders or path in self._hidden:
            return False
        return not any(folder in self._files or folder in self._hidden for folder in _above(path))


def _above(path: str) -> list[str]:
    """The folders that a path lies in, the root ("") first."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(len(parts))]
