"""The tables of stack.toml that say where else things are built, kept and run. No key of them is an input of anything."""

from typing import Annotated, Literal

import msgspec

from arrstack.recipes.values import Name, follows


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """A table of the file: its keys are the fields' names with hyphens, and no others."""


class Cloud(Table, frozen=True):
    """Where Google Cloud builds and keeps the images. What is named here `infra apply` makes."""

    project: str = ""
    region: str = "us-central1"
    repository: Name = "arr-coc-registry"
    """Artifact Registry's repository of what `persistent` does not name: swept daily."""
    persistent_repository: Name = "arr-coc-registry-persistent"
    persistent: tuple[Name, ...] = ()
    """What is built once and kept: tiers, `compiler-cache` and `base`, the bootstrapped bases."""
    pool: Name = "arr-coc-pool"
    """The private pool whose machines compile."""
    machine: str = "c3-standard-176"
    disk_gib: int = 500
    price_per_minute: float = 0
    """US dollars a minute of that machine, where you know it; 0: as the table says (gcp/prices.toml)."""
    max_cost: float = 0
    """US dollars that a launch may cost at most by its estimate; 0: no limit."""
    log_bucket: str = ""
    """Of the builds' logs; default: PROJECT-arrstack-logs, which the committed cloudbuild.yaml names."""
    staging_bucket: str = ""
    """Of the sources on their way to a build; default: PROJECT-arrstack-staging."""

    cache_bucket: str = ""
    """Of sccache's objects, where a profile has it; default: PROJECT-arrstack-sccache."""

    def repository_of(self, name: str) -> str:
        """The Artifact Registry repository that holds a tier's image, or the compiler cache.

        Cloud(persistent=("arr-pytorch-base",)).repository_of("arr-trainer")  # 'arr-coc-registry'
        """
        return self.persistent_repository if name in self.persistent else self.repository


class Buildx(Table, frozen=True):
    """A builder of `docker buildx` that builds in the place of this machine's engine."""

    builder: Annotated[str, follows(r"([A-Za-z0-9][A-Za-z0-9._-]*)?", "the name of a builder of docker buildx")] = ""
    network: Literal["default", "host", "none"] = "default"
    """What its RUN steps have; `host` where it gives none of its own."""


class Training(Table, frozen=True):
    """The jobs that `launch --submit` puts on a queue of W&B Launch, for Vertex AI."""

    entity: str = ""
    """The team or user of W&B; default: the key's own."""
    project: str = "arr-coc"
    queue: str = ""
    machine: str = ""
    """A machine type; default: the smallest with that GPU."""
    gpu: str = ""
    """A GPU model, as `verify --gpu` takes it."""
    gpus: int = 0
    """How many; 0: as many as the machine has."""
    spot: bool = True
    longest_wait: int = 0
    """Seconds for which a job may wait for its machine; 0: as Vertex AI has it."""
    timeout: int = 0
    """Seconds that a job may run; 0: as Vertex AI has it, seven days."""
    bucket: str = ""
    """Of checkpoints and output, without gs://; default: PROJECT-arrstack-training."""
    service_account: str = ""
    """Whose rights a job has; default: Vertex AI's own agent's."""
    arguments: tuple[str, ...] = ()
    """Of the trainer's entry point; {run}, {bucket} and {output} (the run's folder in the bucket) are filled in."""
    labels: dict[str, str] = {}
    """On a job, for the bill: beside the tier, the profile and who submitted it."""
