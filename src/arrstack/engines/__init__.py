"""What executes a build on this machine. `protocols` says what a builder and an engine are; one file an engine.

May not know of plans or tiers, nor show anything to a person.
"""

from arrstack.engines.attach import RunOptions
from arrstack.engines.buildah import Buildah
from arrstack.engines.command import IMAGES, stored_name
from arrstack.engines.docker import Docker
from arrstack.engines.mounts import cache_mounts
from arrstack.engines.protocols import Builder, Engine, Runner, local_name

__all__ = [
    "IMAGES",
    "Buildah",
    "Builder",
    "Docker",
    "Engine",
    "RunOptions",
    "Runner",
    "cache_mounts",
    "local_name",
    "stored_name",
]
