"""What can go wrong, each class with the exit status that the command line answers with.

An error's message says what happened and where; its hint says what to do next.
"""


class ArrstackError(Exception):
    """The base of every error that a user can cause. `status` is the process's exit status."""

    status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        # A name in it may be bytes that are no text: they are shown, not a reason for another error.
        self.message, self.hint = (text.encode("utf-8", "backslashreplace").decode() for text in (message, hint))
        super().__init__(self.message)


class BuildError(ArrstackError):
    """A build, or the program inside an image, failed."""

    status = 1


class ConfigError(ArrstackError):
    """Bad usage, a bad stack.toml or a bad recipe; the message begins with FILE:LINE where there is one."""

    status = 2


class RegistryError(ArrstackError):
    """A registry, an archive or the cloud could not be asked, or answered something that is not an answer."""

    status = 3


UNANSWERED = "see that the registry runs, repair the connection or the login, or name another with --registry"
"""What to do where a registry cannot be asked."""


class ArchiveError(RegistryError):
    """A base image could not be made of the distribution's archive."""


class VerificationError(ArrstackError):
    """What was built is not what was asked for. Nothing of it is published."""

    status = 4


class MachineError(ArrstackError):
    """Something is missing on this machine, or another launch holds it."""

    status = 5


class UnfitError(ArrstackError):
    """The machine that a job asks for cannot run the image. Nothing was put on a queue."""

    status = 6
