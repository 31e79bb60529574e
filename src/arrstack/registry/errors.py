"""What a question to a server ends in where it has no answer; never seen outside of this package."""


class Unavailable(Exception):
    """The server did not answer, or its answer says nothing of whether the image exists.

    `retry_after` are the seconds that the server asks to wait; `final` says that asking again cannot help.
    """

    def __init__(self, reason: str, retry_after: float | None = None, final: bool = False):
        super().__init__(reason)
        self.retry_after, self.final = retry_after, final


class NotFound(Exception):
    """A registry says that it does not have what was asked for."""
