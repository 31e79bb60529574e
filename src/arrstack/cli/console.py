"""Everything that a person sees."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from rich import markup
from rich.console import Console

from arrstack.cli.streams import json_text
from arrstack.cli.timeline import Timeline, bar, covered_seconds
from arrstack.errors import ArrstackError
from arrstack.launch.plan import Plan, TierPlan
from arrstack.machine.resources import available_memory
from arrstack.model import Action, Change, Event, EventKind, State, short
from arrstack.text import visible, visible_lines

ACTIONS = {Action.REUSE: "green", Action.REBUILD: "yellow", Action.FOLLOWS: "cyan"}
REASONS_SHOWN = 6
BAR = 24
NAME, CHART = 44, 40
"""Characters of the longest name and of the bars of a launch's chart."""
SILENCE = 60.0
"""Seconds after which a log without a terminal says again how far a step is."""


def escape(text: str) -> str:
    """One line of text for the console: neither the terminal nor rich's markup takes any of it as a command."""
    return markup.escape(visible(text))


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = whole / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def size(count: int) -> str:
    """Bytes as a person says them."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit in ("B", "KiB") else f"{value:.1f} {unit}"
        value /= 1024
    return ""


class Output:
    """The console, or JSON for `--json`: then standard output holds nothing else."""

    def __init__(self, as_json: bool, color: bool, verbose: bool):
        self.as_json, self.verbose = as_json, verbose
        self.console = Console(no_color=not color, highlight=False, soft_wrap=True, emoji=False)
        self.view: LiveView | None = None
        """What shows a launch on a terminal, once there is one."""
        self.aside = Console(stderr=True, no_color=not color, highlight=False, soft_wrap=True, emoji=False)

    def say(self, text: str) -> None:
        """A line about what the product does; beside the JSON where that is wanted."""
        (self.aside if self.as_json else self.console).print(escape(text))

    def ask(self, question: str) -> bool:
        """Yes or no from a person; no where there is no terminal."""
        if not (self.aside.is_terminal and self.console.is_terminal):
            return False
        if self.view:  # it would draw over the question; who is asked now is ending the launch
            self.view.live.stop()
        return self.console.input(f"{escape(question)} \\[y/N] ").strip().lower() in ("y", "yes")

    def error(self, error: ArrstackError) -> None:
        if self.as_json:
            # on one line: in a launch's stream each line is an object
            print(json_text({"error": error.message, "hint": error.hint, "status": error.status}))
        self.aside.print(f"[bold red]error:[/] {markup.escape(visible_lines(error.message))}")
        if error.hint:
            self.aside.print(f"[bold]what to do:[/] {markup.escape(visible_lines(error.hint))}")

    # -- plan

    def plan(self, plan: Plan) -> None:
        self.console.print(f"profile [bold]{escape(plan.profile)}[/], engine {plan.engine}, registry {escape(plan.registry)}")
        for tier in plan.tiers:
            self._tier(tier)
        work = plan.work
        if work:
            self.console.print(
                f"about {duration(sum(t.estimate_seconds for t in work))} for {len(work)} of {len(plan.tiers)} tiers"
            )
        else:
            self.console.print("nothing to build: every tier is present")

    def _tier(self, tier: TierPlan) -> None:
        action = (
            f"[{ACTIONS[tier.action]}]{tier.action.value:8}[/]" if tier.answer.state is not State.UNKNOWN else "[red]unknown [/]"
        )
        about = f"about {duration(tier.estimate_seconds)}" if tier.action is not Action.REUSE else f"key {short(tier.key or '')}"
        self.console.print(f"  {action} [bold]{escape(tier.name)}[/]  {about}")
        if tier.answer.state is State.UNKNOWN:
            self.console.print(f"           {escape(tier.answer.reason)}")
        if tier.action is not Action.REUSE:
            for wheel in tier.wheels:
                if wheel.key and wheel.answer.state is State.PRESENT:
                    self.console.print(
                        f"           wheel {escape(wheel.wheel.name)} exists: not compiled again (key {short(wheel.key)})"
                    )
            self.changes(tier.changes, REASONS_SHOWN, "           ")

    def changes(self, changes: Iterable[Change], limit: int | None = None, indent: str = "") -> None:
        every = list(changes)
        for change in every[:limit]:
            self.console.print(f"{indent}{change.kind} {escape(change.leaf)}: {escape(readable(change))}")
        if limit is not None and len(every) > limit:
            self.console.print(f"{indent}and {len(every) - limit} more: `arrstack why TIER` shows all")

    # -- status

    def status(self, form: dict[str, Any]) -> None:
        """The documented form of a status, as a table."""
        from rich.table import Table  # here and below: a plan is told without, and sooner

        archive = form["archive"]
        self.say(f"profile {form['profile']}, registry {form['registry']}")
        self.say(f"archive {archive['suite']} of {archive['date']}, {archive['age_days']} days old: `launch --refresh` moves it")
        table = Table("tier", "digest", "age", "size", "note", box=None, pad_edge=False)
        for tier in form["tiers"]:
            waiting = tier.get("security_updates")
            notes = [tier["note"], tier["reason"], f"{waiting} security updates wait" if waiting is not None else ""]
            table.add_row(
                escape(tier["name"]),
                escape(short(tier["digest"]) if tier["digest"] else tier["state"]),
                duration(tier["age_seconds"]) if tier["age_seconds"] is not None else "",
                size(tier["size"]) if tier["size"] else "",
                escape(", ".join(text for text in notes if text)),
            )
        self.console.print(table)
        self.say(f"running: {form['running']}" if form["running"] else "no launch is running")

    # -- events

    def follow(self, events: Iterator[Event]) -> Timeline:
        """Shows a launch as it goes: a live view on a terminal, plain lines elsewhere, JSON lines for --json. Returns what
        ran when, on this method's own clock."""
        timeline, began = Timeline(), time.monotonic()
        if self.as_json:
            for event in events:
                timeline.feed(event, time.monotonic() - began)
                print(json_text(event_json(event)), flush=True)
            return timeline
        self.view = LiveView(self.console, self.verbose) if self.console.is_terminal else None
        with self.view.shown() if self.view else nullcontext(Plain(self.console, self.verbose)) as view:
            for event in events:
                timeline.feed(event, time.monotonic() - began)
                view.feed(event)
        return timeline

    def timeline(self, timeline: Timeline, compiles: Sequence[str], jobs: int) -> None:
        """Where the time of a launch went, as a Gantt chart, and what would make the next one shorter."""
        whole = timeline.seconds
        spans = timeline.spans(whole)
        if len(spans) < 2:
            return
        names = [("  " if span.part else "") + span.name for span in spans]
        column = min(max(len(name) for name in names), NAME)
        self.say(f"{duration(whole)}:")
        for name, span in zip(names, spans, strict=True):
            shown = name if len(name) <= column else name[: column - 1] + "…"
            self.say(f"  {shown:{column}}  {bar(span, whole, CHART)}  {duration(span.seconds)}")
        if compiled := covered_seconds(spans, compiles):
            self.say(f"{compiled / whole:.0%} of it in steps that compile, with {jobs} jobs: more cores shorten these alone")
            self.say("what they compiled another machine need not: `arrstack cache push` here, `arrstack cache pull` there")


def readable(change: Change) -> str:
    """What changed, in one line."""
    old, new = (("nothing" if v is None else v if len(v) <= 80 else v[:77] + "...") for v in (change.old, change.new))
    return new if change.old is None else f"{old} -> {new}"


def event_json(event: Event) -> dict[str, Any]:
    fields = {
        "kind": event.kind.value,
        "step": event.step,
        "text": event.text,
        "percent": event.percent,
        "seconds": event.seconds,
    }
    fields["remaining"] = event.remaining
    return {k: v for k, v in fields.items() if v is not None} | ({"edges": list(event.edges)} if event.edges else {})


class Plain:
    """Lines for a log: phases and markers, and a step's progress at every twentieth of it and every minute."""

    def __init__(self, console: Console, verbose: bool):
        self.console, self.verbose = console, verbose
        self.said: dict[str, tuple[int, float]] = {}
        """Step -> the twentieth that was said last, and when."""

    def feed(self, event: Event) -> None:
        if event.kind is EventKind.PHASE:
            self.said.pop(event.step, None)
        if event.kind is EventKind.PROGRESS and self.verbose and event.edges:  # as the step itself said it
            self.console.print(f"{escape(event.step)}: {escape(f'[{event.edges[0]}/{event.edges[1]}] {event.text}')}")
        elif event.kind is EventKind.PROGRESS:
            part, seconds = int((event.percent or 0) / 5), event.seconds or 0.0
            shown, when = self.said.get(event.step, (-1, 0.0))
            if event.edges and (part > shown or seconds - when >= SILENCE):
                self.said[event.step] = (part, seconds)
                left = f", about {duration(event.remaining)} left" if event.remaining is not None else ""
                self.console.print(
                    f"{escape(event.step)}: {event.percent:.0f}%  {event.edges[0]} of {event.edges[1]} edges, {duration(seconds)}{left}"
                )
        elif event.kind is not EventKind.LOG or self.verbose:
            self.console.print(f"{escape(event.step)}: {escape(event.text)}")


@dataclass
class Running:
    """What the live view shows of one step. `remaining` is the estimate and when it was made."""

    step: str
    began: float
    percent: float = 0.0
    remaining: tuple[float, float] | None = None
    edges: tuple[int, int] | None = None
    cache: str = ""
    last: str = ""

    def feed(self, event: Event, now: float) -> None:
        if event.remaining is not None:
            self.remaining = (event.remaining, now)
        if event.kind in (EventKind.MARKER, EventKind.PROGRESS):
            self.percent = event.percent or self.percent
        if event.kind is EventKind.PROGRESS:
            self.edges = event.edges
        if event.text.startswith("ARRSTACK cache: "):
            self.cache = event.text.removeprefix("ARRSTACK ")
        else:
            self.last = event.text

    def line(self, now: float) -> str:
        filled = round(BAR * self.percent / 100)
        bar = "▰" * filled + "▱" * (BAR - filled)
        parts = [f"{bar} {self.percent:3.0f}%", self.step, duration(now - self.began)]
        if self.remaining:
            left = self.remaining[0] - (now - self.remaining[1])
            parts += [f"about {duration(max(left, 0.0))} left"]
        parts += [f"{self.edges[0]}/{self.edges[1]} edges"] if self.edges else []
        return "  ".join([*parts, self.cache] if self.cache else parts)


class LiveView:
    """A line for each running step: percent, elapsed, estimate, edges, compiler cache; below it what it said last. Free memory.

    Above it what stays: phases, markers and warnings, and every line of the log where `verbose`."""

    def __init__(self, console: Console, verbose: bool):
        from rich.live import Live

        self.console, self.verbose = console, verbose
        self.running: dict[str, Running] = {}
        self.live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self.render)

    @contextmanager
    def shown(self) -> Iterator["LiveView"]:
        with self.live:
            yield self

    def feed(self, event: Event) -> None:
        now = time.monotonic()
        if event.step not in self.running or (event.kind is EventKind.PHASE and event.percent == 0.0):
            self.running[event.step] = Running(event.step, now)
        self.running[event.step].feed(event, now)
        if event.kind in (EventKind.PHASE, EventKind.DONE):
            self.console.print(f"[bold]{escape(event.step)}[/]: {escape(event.text)}")
        elif event.kind is EventKind.WARNING:
            self.console.print(f"[bold yellow]{escape(event.step)}[/]: {escape(event.text)}")
        elif event.kind is EventKind.MARKER or (event.kind is EventKind.LOG and self.verbose):
            self.console.print(escape(event.text))
        if event.kind is EventKind.DONE:
            del self.running[event.step]

    def render(self) -> str:
        now = time.monotonic()
        width = self.console.width - 1
        lines = [text for step in list(self.running.values()) for text in (step.line(now), visible(step.last[:width])[:width])]
        return "\n".join(escape(line) for line in [*lines, f"{size(available_memory())} free"]) if lines else ""
