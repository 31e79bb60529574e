"""What can go wrong in training, each class with the exit status that a queue or a script sees."""


class TrainingError(Exception):
    """`message` says what and where, `hint` what to do about it."""

    status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


class SettingsError(TrainingError):
    """A setting that is none, or settings that contradict each other."""

    status = 2


class DataError(TrainingError):
    """A data set that is not there or lacks what is asked of it."""

    status = 3


class CheckpointError(TrainingError):
    """A checkpoint that can't be written, or none that can be taken."""

    status = 4


class Diverged(TrainingError):
    """The loss is no number any more."""

    status = 5


class TrackerError(TrainingError):
    """W&B refuses the run, or does not answer."""

    status = 6
