"""What a value of stack.toml may be. Much of it becomes words of command lines, so each kind has a pattern."""

from typing import Annotated, Literal

import msgspec

from arrstack.reference import TAG


def follows(pattern: str, what: str) -> msgspec.Meta:
    """Text that follows a pattern; `what` says so in an error."""
    return msgspec.Meta(pattern=rf"\A(?:{pattern})\Z", description=what)


Name = Annotated[
    str, follows(r"[a-z0-9]+([._-][a-z0-9]+)*", "a name: lower-case letters and digits, with single '.', '_' and '-' between")
]
Variable = Annotated[str, follows(r"[A-Za-z_][A-Za-z0-9_]*", "the name of a build argument")]
MaybeVariable = Annotated[str, follows(r"([A-Za-z_][A-Za-z0-9_]*)?", "the name of a build argument")]
RelativePath = Annotated[str, follows(r"[^\x00-\x1f\x7f]{0,1000}", "a path")]
Distribution = Annotated[str, follows(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", "the name of a distribution on PyPI")]
Suite = Annotated[str, follows(r"[a-z][a-z0-9.+-]*", "the name of a suite, such as trixie")]
Package = Annotated[str, follows(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?", "the name of a Debian package")]
Component = Annotated[str, follows(r"[a-z][a-z-]*", "a component of an archive, such as main")]
OWN_TAGS = ("key-", "sha256-")
"""How the tags begin that a launch makes, and `prune` removes: of images by their keys, and of what is attached to them."""
PERSONS_TAG = rf"(?!{'|'.join(OWN_TAGS)}){TAG.pattern}"
Tag = Annotated[str, follows(PERSONS_TAG, "a tag, such as cpu; key-... and sha256-... are arrstack's own")]
Day = Annotated[str, follows(r"\d{4}-\d{2}-\d{2}", "a date: YYYY-MM-DD")]
ImageName = Annotated[str, follows(r"[A-Za-z0-9\[][A-Za-z0-9._:/\[\]-]*", "the name of an image")]
Digest = Annotated[str, follows(r"(sha256:[0-9a-f]{64})?", "a digest: sha256: and 64 digits")]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Variant = Literal["minbase", "buildd", "apt", "essential", "required", "important", "standard"]
