"""The compiler cache on its way to another machine: an image of the registry whose layers are chunks of it.

A chunk is a tar of ccache's files, zstd-compressed (image-spec 1.1, layer.md); one more layer lists what each chunk holds. A push
adds chunks with what the registry lacks and names the old ones again, so nothing is uploaded twice. A pull takes every chunk that
holds something new and checks each by its digest, and ccache checks each file by the sum at its end: what was damaged on the
way is compiled again. Whose entry fits is ccache's decision: it hashes the compiler's content.

May not know of plans or engines, follow a link in the cache's folder, or start a process: skopeo's copy is handed in.
"""

from arrstack.compiler_cache.chunks import Chunk
from arrstack.compiler_cache.folder import ENTRY, CacheFolder
from arrstack.compiler_cache.listing import REPOSITORY, Published, published
from arrstack.compiler_cache.transfer import Moved, explained, prune, pull, push, summary

__all__ = [
    "ENTRY",
    "REPOSITORY",
    "CacheFolder",
    "Chunk",
    "Moved",
    "Published",
    "explained",
    "prune",
    "published",
    "pull",
    "push",
    "summary",
]
