"""One run, from its settings to its last checkpoint."""

import contextlib
import json
import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

import torch
from torch.utils.data import DataLoader

from ARR_COC.errors import CheckpointError, Diverged, TrackerError, TrainingError
from ARR_COC.Model import allocation
from ARR_COC.Model.model import Fixed, RelevanceNet
from ARR_COC.Tasks.task import Batches, Task, task_of
from ARR_COC.Training import checkpoint, evaluation, pictures, stop, stores, tracking
from ARR_COC.Training.gradients import Gradients
from ARR_COC.Training.order import Budgets, Order, Parts, learning_rate, seed_dropout
from ARR_COC.Training.processes import Processes
from ARR_COC.Training.progress import Progress
from ARR_COC.Training.settings import Settings, divided, flat

Part = tuple[torch.Tensor, ...]


@dataclass
class Meter:
    """What happened since it was last read."""

    began: float = field(default_factory=time.monotonic)
    steps: int = 0
    tokens: int = 0
    """Of all processes."""
    waited: float = 0.0
    """Seconds that training waited for a batch."""
    losses: "list[torch.Tensor]" = field(default_factory=list)

    def read(self) -> "dict[str, float]":
        """Reads and begins anew: loss, tokens a second, steps a second, share of the time that was waited for batches."""
        loss = float(torch.stack(self.losses).mean())  # first: a GPU is done with its work only then
        seconds = time.monotonic() - self.began
        values = {
            "loss": loss, "tokens_per_second": self.tokens / seconds, "steps_per_second": self.steps / seconds,
            "waiting": self.waited / seconds,
        }  # fmt: skip
        self.__init__()  # type: ignore[misc]
        return values


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    step: int
    checkpoint: str
    signal: int
    """That asked it to end before its last step; 0 where it came to its end."""
    curves: "dict[str, evaluation.Curve]"


class Run:
    """A model in training. Nothing in it decides over weights but the settings and the number of processes."""

    def __init__(self, settings: Settings, asked: stop.Stop) -> None:
        self.settings, self.asked = settings, asked
        self.processes = Processes(settings.precision)
        if settings.deterministic:
            torch.use_deterministic_algorithms(True)
        self.each = divided(settings, self.processes.count)
        self.task: Task = task_of(settings)
        torch.manual_seed(settings.seed)  # the first weights, alike on all processes
        self.model = RelevanceNet(self.task.queries, self.task.classes, settings.model).to(self.processes.device)
        self.compute = torch.compile(self.model) if settings.compile else self.model
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
        self.gradients = Gradients(self.model.parameters())
        self.order = Order(settings.seed, self.task.train.size, settings.batch, settings.accumulation)
        low, high = settings.budget
        self.budgets = Budgets(
            settings.seed,
            settings.batch,
            self.task.patches,
            low,
            high,
            settings.model.least,
            settings.model.depth,
            settings.explore,
        )
        self.store = stores.connect(settings.output)
        self.history: "list[dict[str, float]]" = []
        self.place = ""

    def train(self) -> Outcome:
        """Goes on from the newest checkpoint, or begins. Raises TrainingError."""
        done = self._resume()
        tracker = self._begin()
        status = 1
        try:
            done, signal = self._steps(done, tracker)
            curves = {}
            if self.processes.main and self.settings.held_out and not signal:
                curves = self._evaluate(done, tracker)
            status = 128 + signal if signal else 0
        finally:
            tracker.finish(status)
        return Outcome(done, self.place, signal, curves)

    def _resume(self) -> int:
        settings = self.settings
        if not settings.resume:
            if (found := checkpoint.newest(self.store)) is not None:
                raise CheckpointError(
                    f"{settings.output} has a checkpoint of step {found}, and resume is off", "another `output`, or remove it"
                )
            return 0
        about = checkpoint.load(self.store, self.model, self.optimizer, flat(settings), self._say)
        steps = 0 if about is None else about.step
        if self.processes.largest(steps) != steps:
            raise CheckpointError(
                f"process {self.processes.rank} finds another checkpoint than the others", "is `output` shared?"
            )
        if about is not None:
            self.history = about.history
            self.place = f"{self.store.place}/{stores.name_of(steps)}"
            self._say(f"resuming {self.place}: {steps} of {settings.steps} steps are done")
            if about.processes != self.processes.count:
                self._say(
                    f"it was made by {about.processes} processes, these are {self.processes.count}: the last bits will differ"
                )
        return steps

    def _begin(self) -> tracking.Tracker:
        """Writes the settings to the output and starts the tracker: what refuses is told before the first step, and not after the hundredth."""
        tracker: tracking.Tracker = tracking.NoTracker()
        failed: "TrainingError | None" = None
        if self.processes.main:
            try:
                self.store.put("settings.json", json.dumps(flat(self.settings), indent=1).encode())
                tracker = tracking.start(self.settings, self.history)
            except OSError as error:
                failed = CheckpointError(
                    f"the output {self.store.place} can't be written: {error}", "is it there, and may this login write to it?"
                )
            except TrackerError as error:
                failed = error
        self._together(failed)
        return tracker

    def _together(self, failed: "TrainingError | None") -> None:
        """Raises what failed in the main process in all of them, so that they end together."""
        if failed := self.processes.from_main(failed):
            raise failed

    def _steps(self, done: int, tracker: tracking.Tracker) -> "tuple[int, int]":
        """Runs the steps that are left; returns how many are done, and the signal that ended it or 0."""
        settings, meter, signal = self.settings, Meter(), 0
        progress = Progress(done, settings.steps, quiet=not self.processes.main)
        with contextlib.closing(progress), contextlib.closing(self._batches(done)) as batches:
            while done < settings.steps and not signal:
                self._step(done, batches, meter)
                done += 1
                progress.step()
                signal = self.processes.largest(self.asked.asked)
                last = done == settings.steps or signal > 0
                if done % settings.log_every == 0 or last:
                    values = self._report(done, meter, tracker)
                    progress.report(done, values["loss"], values["tokens_per_second"])
                if done % settings.save_every == 0 or last:
                    self._save(done, last)
        return done, signal

    def _batches(self, done: int) -> "Generator[Part, None, None]":
        settings, processes = self.settings, self.processes
        loader = DataLoader(
            Batches(self.task.train),
            batch_sampler=Parts(self.order, processes.rank, processes.count, done, settings.steps),
            collate_fn=tuple,
            num_workers=settings.workers,
            worker_init_fn=_worker,
            pin_memory=processes.device.type == "cuda",
            prefetch_factor=4 if settings.workers else None,
            generator=torch.Generator(),  # of its own: what it draws from the global one would not be the step's
        )
        yield from loader

    def _step(self, step: int, batches: "Iterator[Part]", meter: Meter) -> None:
        settings, processes = self.settings, self.processes
        budgets, uniform = self.budgets.of(step)
        self.gradients.clear()
        for part, place in enumerate(self.order.places(processes.rank, processes.count)):
            before = time.monotonic()
            batch = next(batches)
            meter.waited += time.monotonic() - before
            seed_dropout(settings.seed, step, part, processes.rank)
            meter.losses.append(self._backward(batch, budgets[place], uniform[place]))
        self.gradients.average(processes.count)
        self.gradients.clip(settings.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, settings.steps, settings.lr, settings.warm_up)
        self.optimizer.step()
        meter.steps += 1
        meter.tokens += int(budgets.sum())

    def _backward(self, batch: Part, budgets: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """Adds the gradient of one part; returns its loss."""
        settings, processes = self.settings, self.processes
        even = allocation.uniform(self.task.patches, budgets, settings.model.least, settings.model.depth)
        images, queries, answers, spend, which, tokens = (
            tensor.to(processes.device, non_blocking=True) for tensor in (*batch[:3], budgets, uniform, even)
        )
        with processes.accelerator.autocast():
            answer = self.compute(images, queries, spend, Fixed(which, tokens))
        loss = torch.nn.functional.cross_entropy(answer.logits.float(), answers)
        (loss / settings.accumulation).backward()
        return loss.detach()

    def _report(self, done: int, meter: Meter, tracker: tracking.Tracker) -> "dict[str, float]":
        values = meter.read() | {"lr": self.optimizer.param_groups[0]["lr"]}
        values["loss"] = self.processes.mean(values["loss"])
        if not math.isfinite(values["loss"]):
            raise Diverged(f"the loss is {values['loss']} at step {done}", "a smaller lr or clip")
        self.history.append({"step": done, **values})
        tracker.metrics(done, values)
        return values

    def _save(self, done: int, last: bool) -> None:
        settings, processes = self.settings, self.processes
        failed: "TrainingError | None" = None
        if processes.main:
            about = checkpoint.About(done, flat(settings), processes.count, self.history)
            try:
                self.place = checkpoint.save(self.store, self.model, self.optimizer, about, settings.keep)
                if last:
                    self.store.put("learning-curve.png", pictures.learning_curve(self.history))
            except CheckpointError as error:
                failed = error
        self._together(failed)

    def _evaluate(self, done: int, tracker: tracking.Tracker) -> "dict[str, evaluation.Curve]":
        settings = self.settings
        samples = self.task.held_out.samples(range(min(settings.held_out, self.task.held_out.size)))
        curves = evaluation.curves(self.model, samples, sorted({*evaluation.AVERAGES, settings.evaluate_at}))
        drawn = {
            "accuracy-over-budget": pictures.accuracy_curve(curves),
            "allocation-maps": pictures.allocation_maps(self.model, samples, settings.evaluate_at),
        }
        for name, data in drawn.items():
            self.store.put(f"{name}.png", data)
        tracker.metrics(done, {f"accuracy/{name}": curve[settings.evaluate_at] for name, curve in curves.items()})
        tracker.pictures(done, drawn)
        return curves

    def _say(self, text: str) -> None:
        if self.processes.main:
            print(text, flush=True)


def _worker(_: int) -> None:
    stop.ignore()
    torch.set_num_threads(1)
