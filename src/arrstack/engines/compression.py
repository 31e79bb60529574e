"""How layers are compressed on their way to a server, by skopeo's options. A registry directory keeps them as they are."""

from arrstack.errors import ConfigError

GZIP, ZSTD = "gzip", "zstd"
LAYERS = (GZIP, ZSTD)
"""Everything reads gzip. zstd is read by Docker 23, containerd 1.5, buildah and podman, and later ones."""


def require_layers(layers: str, engine: str) -> str:
    """The name as it is. Raises ConfigError where layers cannot be compressed so, or the engine could not pull them again.

    The docker engine pulls by way of an archive of docker's form, which holds no zstd (containers/image, docker-archive).
    """
    if layers not in LAYERS:
        raise ConfigError(f"--layers {layers}: it takes {' or '.join(LAYERS)}")
    if layers == ZSTD and engine == "docker":
        raise ConfigError("--layers zstd: the docker engine could not pull such layers again", "build with buildah, or by gzip")
    return layers


def layer_options(compress: bool, layers: str) -> list[str]:
    """skopeo's options for an image's layers: `layer_options(True, "zstd") == ["--dest-compress-format", "zstd"]`."""
    if not compress:
        return ["--dest-oci-accept-uncompressed-layers"]
    return [] if layers == GZIP else ["--dest-compress-format", layers]
