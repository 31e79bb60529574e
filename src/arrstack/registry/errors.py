"""What a question to a server ends in where it has no answer; never seen outside of this package. And what servers say of it."""

import msgspec

from arrstack.text import visible


class Unavailable(Exception):
    """The server did not answer, or its answer says nothing of whether the image exists.

    `retry_after` are the seconds that the server asks to wait; `final` says that asking again cannot help; `refused` that
    nothing takes connections there.
    """

    def __init__(self, reason: str, retry_after: float | None = None, final: bool = False, refused: bool = False):
        super().__init__(reason)
        self.retry_after, self.final, self.refused = retry_after, final, refused


class NotFound(Exception):
    """A registry says that it does not have what was asked for."""


class ErrorCode(msgspec.Struct):
    code: str
    message: str = ""


class Errors(msgspec.Struct):
    """What a registry says in place of what was asked for (distribution-spec 1.1, "Error Codes")."""

    errors: list[ErrorCode]


def codes(body: bytes) -> list[ErrorCode]:
    """A registry's own list of errors; none where the body is no such list."""
    try:
        return msgspec.json.decode(body, type=Errors).errors
    except (ValueError, RecursionError):
        return []


def told(body: bytes) -> str:
    """The first error's words, for a person; '' where there are none."""
    return visible(next((error.message for error in codes(body) if error.message), ""))[:300]
