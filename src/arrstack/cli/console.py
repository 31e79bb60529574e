"""Everything that a person sees."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

from rich import markup
from rich.console import Console

from arrstack.cli.changes import in_a_line, in_full
from arrstack.cli.forms import age_seconds
from arrstack.cli.live import LiveView, Plain
from arrstack.cli.streams import json_text
from arrstack.cli.timeline import Timeline, bar, covered_seconds
from arrstack.cli.typed import NAME as PRODUCT
from arrstack.cli.typed import pasteable
from arrstack.cli.units import escape, folded
from arrstack.errors import ArrstackError
from arrstack.launch.outcome import sentence
from arrstack.launch.plan import Plan, TierPlan
from arrstack.machine.memory import Launched
from arrstack.model import Action, Change, Event, State, short
from arrstack.text import counted, duration, size, visible, visible_lines

ACTIONS = {Action.REUSE: "green", Action.REBUILD: "yellow", Action.FOLLOWS: "cyan"}
REASONS_SHOWN = 6
NAME, CHART = 44, 40
"""Characters of the longest name and of the bars of a launch's chart, where there is room for them."""
WIDE = 100
"""Columns of what is no terminal."""


def console(stderr: bool, color: bool) -> Console:
    """One of the two streams. Of a terminal that says that it has no columns (COLUMNS=0) nothing would be shown."""
    made = Console(stderr=stderr, no_color=not color, highlight=False, soft_wrap=True, emoji=False)
    if made.width < 1:
        made.width = WIDE
    return made


class Output:
    """The console, or JSON for `--json`: then standard output holds nothing else."""

    def __init__(self, as_json: bool, color: bool, verbose: bool, command: str = PRODUCT, aside: bool = False):
        """`command` is how the person called the product: hints name it so. `aside` leaves standard output to a program."""
        self.as_json, self.verbose, self.command = as_json, verbose, command
        self.console = console(aside, color)
        self.view: LiveView | None = None
        """What shows a launch on a terminal, once there is one."""
        self.aside = console(True, color)

    def say(self, text: str) -> None:
        """A line about what the product does; beside the JSON where that is wanted."""
        console, whole = self.aside if self.as_json else self.console, visible(pasteable(text, self.command))
        for line in folded(whole, console.width) if console.is_terminal else [whole]:
            console.print(escape(line))

    def ask(self, question: str) -> bool:
        """Yes or no from a person; no where there is no terminal."""
        if not (self.aside.is_terminal and self.console.is_terminal):
            return False
        if self.view:  # it would draw over the question; who is asked now is ending the launch
            self.view.live.stop()
        return self.console.input(f"{escape(question)} \\[y/N] ").strip().lower() in ("y", "yes")

    def error(self, error: ArrstackError) -> None:
        message, hint = pasteable(error.message, self.command), pasteable(error.hint, self.command)
        if self.as_json:
            # on one line: in a launch's stream each line is an object
            print(json_text({"error": message, "hint": hint, "status": error.status}))
        self.aside.print(f"[bold red]error:[/] {markup.escape(visible_lines(message))}")
        if hint:
            self.aside.print(f"[bold]what to do:[/] {markup.escape(visible_lines(hint))}")

    # -- plan

    def plan(self, plan: Plan) -> None:
        self.console.print(f"engine {plan.engine}, registry {escape(plan.registry)}")
        for tier in plan.tiers:
            self._tier(tier)
        work = plan.work
        if work:
            self.console.print(
                f"about {duration(sum(t.estimate_seconds for t in work))} for {len(work)} of {len(plan.tiers)} tiers"
            )
        elif plan.unproved:
            self.console.print(f"nothing to build; checks to run on {len(plan.unproved)} of {len(plan.tiers)} images")
        else:
            self.console.print("nothing to build: every tier is present")

    def _tier(self, tier: TierPlan) -> None:
        action = (
            f"[{ACTIONS[tier.action]}]{tier.action.value:8}[/]" if tier.answer.state is not State.UNKNOWN else "[red]unknown [/]"
        )
        about = (
            f"about {duration(max(tier.estimate_seconds, 1))}"
            if tier.action is not Action.REUSE
            else f"key {short(tier.key or '')}"
        )
        due = "; its checks changed: they run on the image as it is" if tier.unproved else ""
        self.console.print(f"  {action} [bold]{escape(tier.name)}[/]  {about}{due}")
        if tier.answer.state is State.UNKNOWN:
            self.console.print(f"           {escape(pasteable(tier.answer.reason, self.command))}")
        if tier.action is not Action.REUSE:
            for wheel in tier.wheels:
                if wheel.key and wheel.answer.state is State.PRESENT:
                    self.console.print(
                        f"           wheel {escape(wheel.wheel.name)} exists: not compiled again (key {short(wheel.key)})"
                    )
            self.changes(tier.name, tier.changes, REASONS_SHOWN, "           ")

    def changes(self, tier: str, changes: Iterable[Change], limit: int | None = None, indent: str = "") -> None:
        every = list(changes)
        for change in every[:limit]:
            for line in in_full(change) if limit is None else [in_a_line(change)]:
                self.console.print(f"{indent}{escape(line)}")
        if limit is not None and len(every) > limit:
            self.say(f"{indent}and {len(every) - limit} more: `arrstack why {tier}` shows all")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Rows below their columns' names. Where the terminal is too narrow, each row is a list instead: nothing that one would
        copy is broken."""
        every = [list(columns), *([escape(pasteable(cell, self.command)) for cell in row] for row in rows)]
        widths = [max(len(row[number]) for row in every) for number in range(len(columns))]
        if not self.console.is_terminal or sum(widths) + 2 * (len(widths) - 1) <= self.console.width:
            for row in every:
                self.console.print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
            return
        for first, *rest in every[1:]:
            self.console.print(first)
            for name, cell in zip(columns[1:], rest, strict=True):
                if cell:
                    self.console.print(f"  {name} {cell}".rstrip())

    # -- status

    def status(self, form: dict[str, Any], last: Launched | None) -> None:
        """The documented form of a status, as a table, and how the last launch went."""
        self.say(f"registry {form['registry']}")
        if archive := form["archive"]:
            age = f"{counted(archive['age_days'], 'day')} old"
            self.say(f"archive {archive['suite']} of {archive['date']}, {age}: `arrstack launch --refresh` moves it")
        rows = []
        for tier in form["tiers"]:
            waiting = tier.get("security_updates")
            differs = tier["differs"]
            changed = f"{differs} input{'s' if differs > 1 else ''} changed since" if differs else ""
            notes = [changed, tier["note"], tier["reason"], f"{waiting} security updates wait" if waiting is not None else ""]
            rows.append(
                [
                    tier["name"],
                    short(tier["digest"]) if tier["digest"] else tier["state"],
                    duration(tier["age_seconds"]) if tier["age_seconds"] is not None else "",
                    size(tier["size"]) if tier["size"] else "",
                    ", ".join(text for text in notes if text),
                ]
            )
        self.table(["tier", "digest", "age", "size", "note"], rows)
        self.say(f"running: {form['running']}" if form["running"] else "no launch is running")
        if said := sentence(last, form["running"] or "", lambda at: duration(age_seconds(at, datetime.now(UTC)) or 0)):
            self.say(said)

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
        room = (self.console.width if self.console.is_terminal else WIDE) - len("    ") - len("  100 min")
        chart = min(CHART, room // 2)
        column = min(max(len(name) for name in names), NAME, room - chart)
        self.say(f"{duration(whole)}:")
        for name, span in zip(names, spans, strict=True):
            shown = name if len(name) <= column else name[: column - 1] + "…"
            self.say(f"  {shown:{column}}  {bar(span, whole, chart)}  {duration(span.seconds)}")
        if compiled := covered_seconds(spans, compiles):
            self.say(f"{compiled / whole:.0%} of it in steps that compile, with {jobs} jobs: more cores shorten these alone")
            self.say("what they compiled another machine need not: `arrstack cache push` here, `arrstack cache pull` there")


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
