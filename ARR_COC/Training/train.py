"""Trains ARR-COC: `accelerate launch ARR_COC/Training/train.py [--config FILE] [key=value ...]`, by torchrun, or by itself.

Every setting: ARR_COC/Training/settings.py. SIGTERM and Ctrl-C end a run at the end of its step, with a checkpoint and the
status 143 or 130; the same command goes on from there.
"""

import json
import os
import sys
from pathlib import Path

if __name__ == "__main__":  # the package in place of its folder, from wherever it is started
    sys.path[0] = str(Path(__file__).resolve().parents[2])
# cuBLAS gives the same bits each time only with workspaces of its own (its documentation, "Results reproducibility").
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

from typing import TYPE_CHECKING

from ARR_COC.errors import TrainingError
from ARR_COC.Training import settings as reading
from ARR_COC.Training.stop import Stop

if TYPE_CHECKING:
    from ARR_COC.Training.loop import Outcome


def main() -> int:
    """The exit status."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(f"{__doc__}\nSettings: {', '.join(reading.names())}")
        return 0
    asked = Stop()
    asked.listen()  # before the imports that take seconds
    try:
        settings = reading.read(sys.argv[1:], os.environ)
        from ARR_COC.Training.loop import Run

        run = Run(settings, asked)
        outcome = run.train()
    except TrainingError as error:
        print(f"arr-train: {error.message}" + (f"\n  {error.hint}" if error.hint else ""), file=sys.stderr, flush=True)
        return error.status
    if outcome.signal:
        if run.processes.main:
            print(f"stopped by signal {outcome.signal} after step {outcome.step}: {outcome.checkpoint}", flush=True)
    elif run.processes.main:
        print(f"ARR_RESULT {json.dumps(result(settings, run.history[-1]['loss'], outcome))}", flush=True)
    run.processes.wait()
    return 128 + outcome.signal if outcome.signal else 0


def result(settings: reading.Settings, loss: float, outcome: "Outcome") -> "dict[str, object]":
    """What programs read: the last line of a finished run."""
    at = {name: curve[settings.evaluate_at] for name, curve in outcome.curves.items()}
    return {
        "seed": settings.seed, "step": outcome.step, "loss": loss, "checkpoint": outcome.checkpoint,
        "tokens_a_patch": settings.evaluate_at, "accuracy": at, "curves": outcome.curves,
    }  # fmt: skip


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Nothing is left to do. gloo's threads, which torch ends after Python, abort the process now and then (status 134).
    os._exit(status)
