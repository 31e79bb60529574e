"""GPU models and their compute capability, and how a person names one."""

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from types import MappingProxyType

from arrstack.errors import ConfigError
from arrstack.verify.compat import Capability

_MAKER = re.compile(r"^(nvidia|geforce|tesla|quadro)\s+")
_CAPABILITY = re.compile(r"(?:sm_|compute_)?(?:(\d{1,2})\.(\d)|(\d{1,2})(\d))", re.IGNORECASE)


@functools.cache
def load_gpus() -> Mapping[str, Capability]:
    """GPU models and their compute capability, in the order of the data file (oldest first)."""
    table = tomllib.loads(resources.files("arrstack.verify").joinpath("gpus.toml").read_text(encoding="utf-8"))
    return MappingProxyType({model: parse_capability(text) for model, text in table["capability"].items()})


def parse_capability(text: str) -> Capability:
    """(8, 9) of "8.9", "89" or "sm_89". Raises ConfigError."""
    match = _CAPABILITY.fullmatch(text.strip())
    if not match:
        raise ConfigError(f"{text!r} is not a compute capability", "write 8.9 or sm_89")
    return int(match[1] or match[3]), int(match[2] or match[4])


def find_gpus(names: Sequence[str]) -> Mapping[str, Capability]:
    """The models that a person named ("L4", "nvidia l4", "rtx4090"), or a compute capability ("8.9"). Raises ConfigError.

    find_gpus(["l4"])   # {"L4": (8, 9)}
    """
    known = {_plain(model): model for model in load_gpus()}
    found: dict[str, Capability] = {}
    for name in (part for item in names for part in re.split(r"[,;]", item) if part.strip()):
        if (model := known.get(_plain(name))) is not None:
            found[model] = load_gpus()[model]
        elif _CAPABILITY.fullmatch(name.strip()):
            found[name.strip()] = parse_capability(name)
        else:
            models = ", ".join(load_gpus())
            raise ConfigError(
                f"{name.strip()!r} is no GPU that this program knows", f"name one of {models}, or its capability: 8.9"
            )
    return found


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", _MAKER.sub("", name.strip().lower()))
