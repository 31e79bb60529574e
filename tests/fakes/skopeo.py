"""Programs that do nothing: what they were asked is kept, and a copy by skopeo gets the digest that it was told."""

from collections.abc import Callable, Sequence
from pathlib import Path

from arrstack.machine.process import Failed, Finished, Processes


class Skopeo(Processes):
    """`asked` are the commands, in order. A command with the word `fails` in it ends with status 1, and says why."""

    def __init__(self, digest: str = "sha256:written", reads: int = 0, fails: str = "") -> None:
        super().__init__({})
        self.digest, self.reads, self.fails = digest, reads, fails
        self.asked: list[list[str]] = []

    def run(self, argv: Sequence[str], check: bool = True, *_: object, **more: object) -> Finished:
        self.asked.append(list(argv))
        if self.fails and self.fails in argv:
            if check:
                raise Failed(argv, 1, "first line\nno space")
            return Finished(1, "", "first line\nno space\n")
        for word in argv:
            if word.startswith("--digestfile="):
                Path(word.partition("=")[2]).write_text(self.digest + "\n")
        return Finished(0, "", "")

    def watch(self, argv: Sequence[str], tell: Callable[[int], None], every: float = 0.5) -> Finished:
        tell(self.reads)
        return self.run(argv)
