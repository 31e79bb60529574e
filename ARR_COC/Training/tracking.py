"""Metrics and pictures to W&B: online, offline or not at all."""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ARR_COC.errors import TrackerError
from ARR_COC.Training.settings import Settings, flat
from ARR_COC.Training.stores import is_bucket

if TYPE_CHECKING:
    from wandb.sdk.wandb_run import Run


class Tracker(Protocol):
    def metrics(self, step: int, values: "Mapping[str, float]") -> None: ...

    def pictures(self, step: int, pictures: "Mapping[str, bytes]") -> None:
        """PNGs by name."""
        ...

    def finish(self, status: int) -> None: ...


class NoTracker:
    def metrics(self, step: int, values: "Mapping[str, float]") -> None:
        pass

    def pictures(self, step: int, pictures: "Mapping[str, bytes]") -> None:
        pass

    def finish(self, status: int) -> None:
        pass


class Wandb:
    """A run of W&B. WANDB_RUN_ID with WANDB_RESUME=allow goes on with the run of a job that was stopped."""

    def __init__(self, run: "Run") -> None:
        self.run = run

    def metrics(self, step: int, values: "Mapping[str, float]") -> None:
        self.run.log(dict(values), step=step)

    def pictures(self, step: int, pictures: "Mapping[str, bytes]") -> None:
        import wandb
        from PIL import Image

        self.run.log({name: wandb.Image(Image.open(io.BytesIO(data))) for name, data in pictures.items()}, step=step)

    def finish(self, status: int) -> None:
        self.run.finish(exit_code=status)


def mode(settings: Settings, environment: "Mapping[str, str]") -> str:
    """`online`, `offline` or `off`."""
    if settings.wandb != "environment":
        return settings.wandb
    named = environment.get("WANDB_MODE", "offline")
    return {"disabled": "off", "dryrun": "offline", "run": "online"}.get(named, named)


def start(settings: Settings, history: "Sequence[Mapping[str, float]]" = ()) -> Tracker:
    """The tracker that the settings and WANDB_MODE name. Its files are below the output folder.

    `history` is what was measured before this start, with its `step`: what a machine that was taken had not sent of it is sent now.
    Raises TrackerError where W&B refuses, OSError where the folder can't be written.
    """
    chosen = mode(settings, os.environ)
    if chosen == "off":
        return NoTracker()
    os.environ.setdefault("WANDB_SILENT", "true")
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    folder = Path("output" if is_bucket(settings.output) else settings.output)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", settings.project),
            dir=os.environ.get("WANDB_DIR", str(folder)),
            mode="online" if chosen == "online" else "offline",
            config=flat(settings),
            id=os.environ.get("WANDB_RUN_ID"),
            resume="allow" if chosen == "online" else None,
            settings=wandb.Settings(console="off"),
        )
    except wandb.errors.Error as error:
        said = " ".join(str(error).split())
        raise TrackerError(f"W&B can't be used: {said}", "a valid WANDB_API_KEY, or wandb=offline, or wandb=off") from None
    tracker = Wandb(run)
    for row in history:
        if row["step"] >= run.starting_step:
            tracker.metrics(int(row["step"]), {name: value for name, value in row.items() if name != "step"})
    return tracker
