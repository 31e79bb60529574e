"""A published image on its way to where people use it: a Docker daemon, podman's store, an archive, another registry.

to = Destination.parse("oci-archive:app.tar", "app", "latest")
print(export(image, registry, to, processes, scratch, lambda copy: None).digest)
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from arrstack.errors import ConfigError, MachineError, RegistryError
from arrstack.machine import skopeo
from arrstack.machine.process import Failed, Processes
from arrstack.model import Image
from arrstack.reference import TRANSPORT, NotAName, Reference
from arrstack.registry import Registry

DAEMON, STORE = "docker-daemon:", "containers-storage:"
ARCHIVES = ("docker-archive:", "oci-archive:")
SHORT = {"docker": DAEMON, "podman": STORE}
"""What a person may say for it; the image's name there is then the tier's."""
FORMS = (
    "docker, podman, docker-daemon:NAME:TAG, containers-storage:NAME:TAG, docker-archive:FILE, oci-archive:FILE, or HOST/NAME:TAG"
)
"""What a destination may be."""


@dataclass(frozen=True)
class Copy:
    """How far a copy is: bytes that were read, of about so many."""

    what: str
    done: int
    size: int


Tell = Callable[[Copy], None]
"""Is told now and then how far a copy is."""


@dataclass(frozen=True)
class Exported:
    """Where an image went, and the digest of the manifest that was written there. `use` is how it is run from there; '' for a registry."""

    destination: str
    digest: str
    use: str


@dataclass(frozen=True)
class Destination:
    """Where an image goes. `reference` is a containers/image reference (containers-transports(5)), `name` what it is called there."""

    reference: str
    name: str

    @classmethod
    def parse(cls, text: str, tier: str, tag: str) -> "Destination":
        """Of one of FORMS. Raises ConfigError.

        Destination.parse("podman", "app", "latest").reference    # containers-storage:localhost/app:latest
        """
        if text in SHORT:
            text = SHORT[text] + (f"{tier}:{tag}" if text == "docker" else f"localhost/{tier}:{tag}")
        if text.startswith(ARCHIVES):
            return cls._archive(text, f"{tier}:{tag}")
        transport = next((each for each in (DAEMON, STORE, TRANSPORT) if text.startswith(each)), TRANSPORT)
        name = text.removeprefix(transport)
        if transport == TRANSPORT and "/" not in name:
            raise ConfigError(f"{text}: no destination of an export", FORMS)
        try:
            parsed = Reference.parse(name)
        except NotAName as error:
            raise ConfigError(str(error), FORMS) from None
        if parsed.digest:
            raise ConfigError(f"{text}: a digest is what comes out, not what is asked for", FORMS)
        name = name if parsed.tag else f"{name}:{tag}"
        return cls(f"{transport}{name}", name)

    @classmethod
    def _archive(cls, text: str, name: str) -> "Destination":
        transport, _, rest = text.partition(":")
        file, colon, named = rest.partition(":")
        if not file:
            raise ConfigError(f"{text} names no file", FORMS)
        if Path(file).exists():  # skopeo would add to it, or refuse
            raise ConfigError(f"{file} is there already", "remove it, or name another file")
        if not Path(file).absolute().parent.is_dir():
            raise ConfigError(f"{file}: there is no folder {Path(file).absolute().parent}", "make it first")
        name = named if colon else name
        return cls(f"{transport}:{file}:{name}", file)

    @property
    def is_daemon(self) -> bool:
        """Whether it is a Docker daemon's store, to which an image goes by an archive in the scratch folder."""
        return self.reference.startswith(DAEMON)

    @property
    def use(self) -> str:
        """The command that runs it from there; '' where that is another machine's to say."""
        if self.reference.startswith(DAEMON):
            return f"docker run --rm {self.name}"
        if self.reference.startswith(STORE):
            return f"podman run --rm {self.name}"
        if self.reference.startswith("docker-archive:"):
            return f"docker load --input {self.name}"
        return f"podman load --input {self.name}" if self.reference.startswith("oci-archive:") else ""


def export(image: Image, registry: Registry, to: Destination, processes: Processes, scratch: Path, tell: Tell) -> Exported:
    """Copies a published image, of exactly that digest. Raises RegistryError where it cannot be read or written, MachineError
    where there is no Docker daemon."""
    source = registry.pinned(image.repository, image.digest, scratch)
    if to.is_daemon:
        require_daemon(processes)
    # To a daemon by an archive: skopeo 1.9 speaks an API to daemons that Docker 25 and later no longer know.
    archive = scratch / "image.tar"
    reference = f"docker-archive:{archive}:{to.name}" if to.is_daemon else to.reference
    try:
        digest = skopeo.copy(processes, source, reference, tell=told(to.reference, image, tell))
        if to.is_daemon:
            processes.run(["docker", "load", "--quiet", "--input", str(archive)])
    except Failed as error:
        hint = "docs/guide/registries.md says how to log in" if to.reference.startswith(TRANSPORT) else ""
        raise RegistryError(f"{image.repository} could not be copied to {to.reference}: {error.message}", hint) from None
    return Exported(to.reference, digest, to.use)


def told(what: str, image: Image, tell: Tell) -> Callable[[int], None]:
    """Of bytes that were read: a Copy. Some are read twice, to be compressed."""
    return lambda done: tell(Copy(what, min(done, image.size), image.size))


def require_daemon(processes: Processes) -> None:
    """Raises MachineError where no Docker daemon answers."""
    why = "docker is not installed"
    if processes.which("docker"):
        told = processes.run(["docker", "version", "--format", "{{.Server.Version}}"], check=False, seconds=20)
        if not told.status:
            return
        why = (told.errors.strip().splitlines() or ["no word"])[-1]
    raise MachineError(
        f"no Docker daemon answers: {why}", "start it, or name another place: podman, oci-archive:FILE, HOST/NAME:TAG"
    )
