"""`launch --submit`: the job for a queue of W&B Launch, and where it could run."""

import getpass
import re
import shlex
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arrstack.cli.session import Session
from arrstack.cli.streams import json_text, print_json
from arrstack.errors import ArrstackError, ConfigError
from arrstack.model import Image
from arrstack.registry import find

if TYPE_CHECKING:
    from arrstack.cli.console import Output
    from arrstack.launch.submit import Place
    from arrstack.training.job import Job
    from arrstack.training.machines import Machine
    from arrstack.verify import Report

Submit = Annotated[bool, typer.Option("--submit", help="Put a job for the trainer's image on a W&B queue afterwards; follow it.")]
Where = Annotated[bool, typer.Option("--where", help="With --submit: only list the machines that could run it.")]
Queue = Annotated[str, typer.Option(metavar="NAME", help="With --submit: the queue; default: the stack file's.")]
Entity = Annotated[str, typer.Option(metavar="TEAM", help="With --submit: W&B's team or user; default: the key's own.")]
MachineType = Annotated[str, typer.Option("--machine", metavar="TYPE", help="With --submit: the machine type, as a2-highgpu-1g.")]
Gpu = Annotated[str, typer.Option(metavar="MODEL", help="With --submit: the GPU, as L4; the smallest machine with it.")]
Gpus = Annotated[
    str, typer.Option(metavar="N|all", help="How many GPUs: of the job's machine, or for --run of this one (docker).")
]
OnDemand = Annotated[bool, typer.Option("--on-demand", help="With --submit: no spot machine.")]
Detach = Annotated[bool, typer.Option("--detach", help="With --submit: do not follow the job.")]
Arguments = Annotated[
    str,
    typer.Option(
        metavar="WORDS", help="With --submit: the trainer's arguments, as a shell reads them; default: the stack file's."
    ),
]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the options of `launch` say of a job."""

    submit: bool = False
    where: bool = False
    queue: str = ""
    entity: str = ""
    machine: str = ""
    gpu: str = ""
    gpus: str = ""
    on_demand: bool = False
    detach: bool = False
    arguments: str = ""


def chosen(session: Session, asked: Asked, run: bool) -> "Machine | None":
    """The job's machine, held against the list that the profile is built for; None where no job is asked for. Raises ConfigError, UnfitError: before
    anything is built."""
    if not asked.submit:
        alone = [name for name, value in vars(asked).items() if value and not (name == "gpus" and run)]
        if alone:
            raise ConfigError(f"--{alone[0].replace('_', '-')} without --submit{' or --run' if alone[0] == 'gpus' else ''}")
        return None
    if asked.gpus and not re.fullmatch(r"[0-9]{1,4}", asked.gpus):
        raise ConfigError(
            f"--gpus {asked.gpus[:40]} with --submit: it takes a number", "a machine type has so many GPUs, and no more"
        )
    if asked.where:
        return None
    if not (asked.queue or session.stack.stack.training.queue):
        raise ConfigError("no queue is named", "give --queue, or set `queue` in [training] of the stack file")
    if session.registry_is_here:
        raise ConfigError(
            f"Vertex AI cannot pull an image from {session.place_of_registry}", "--registry google, or HOST[:PORT][/PREFIX]"
        )
    from arrstack.launch.submit import refuse_unfit, wanted

    machine = wanted(session.stack.stack.training, asked.machine, asked.gpu, int(asked.gpus or 0))
    refuse_unfit(machine, session.stack.profile.archs)
    return machine


def submit(session: Session, asked: Asked, machine: "Machine", tier: str, out: "Output") -> None:
    """Puts the job on its queue, says where it is, and follows it. Raises UnfitError where the image does not run on the machine."""
    from arrstack.launch.submit import judged
    from arrstack.training.job import resource_arguments
    from arrstack.training.queue import Order, submit

    job = job_of(session, asked, machine, tier, session.published(tier))
    arguments = resource_arguments(job)
    if machine.gpu and (warning := judged(machine, census(session, tier))):
        out.say(f"warning: {warning}")
    price = machine.price(job.spot)
    cost = f"${price:g} an hour" if price is not None else "price not known"
    out.say(f"job {job.run}: {machine}, {'spot' if job.spot else 'on demand'}, {cost}; {job.image}")
    training = session.stack.stack.training
    order = Order(
        asked.entity or training.entity,
        training.project,
        asked.queue or training.queue,
        job.run,
        f"{tier}-{job.run}",
        job.image,
        arguments,
        job.spot,
        not asked.detach,
    )
    try:
        for news in submit(order, session.processes):
            if out.as_json:
                print(json_text({"kind": "job", **{name: value for name, value in vars(news).items() if value}}), flush=True)
            else:
                out.say(f"{order.queue}: {news.url or news.state}")
    except KeyboardInterrupt:
        out.say(f"no longer followed; what is on the queue goes on: {job.run}")
        raise


def job_of(session: Session, asked: Asked, machine: "Machine", tier: str, image: Image) -> "Job":
    from arrstack.training.job import Job

    training = session.stack.stack.training
    with tempfile.TemporaryDirectory(prefix="arrstack-") as scratch:
        pinned = session.registry.pinned(image.repository, image.digest, Path(scratch))
    return Job(
        run=uuid.uuid4().hex[:8],
        image=pinned.removeprefix("docker://"),
        machine=machine,
        bucket=training.bucket or f"{session.google.bucket_stem}-arrstack-training",
        spot=training.spot and not asked.on_demand,
        longest_wait=training.longest_wait,
        timeout=training.timeout,
        service_account=training.service_account,
        arguments=shlex.split(asked.arguments) if asked.arguments else training.arguments,
        labels={"tier": tier, "profile": session.stack.profile_name, "submitted-by": getpass.getuser(), **training.labels},
    )


def census(session: Session, tier: str) -> "Report":
    """What is in the tier's published image."""
    from arrstack.cli.look import published_reference
    from arrstack.verify import verify
    from arrstack.wheels import fetched

    with fetched(tier, lambda name: published_reference(session, name), session.processes) as source:
        return verify(source)


def where(session: Session, asked: Asked, tier: str, out: "Output") -> None:
    """Lists the machines that run the image, by its census where it is published, else by what the profile is built for."""
    from arrstack.launch.submit import modes, places
    from arrstack.training.machines import cheapest_first, choose, machines, table

    if asked.machine:
        choose(machines(), asked.machine, "", 0)  # says so where there is none of that name
    spot = session.stack.stack.training.spot and not asked.on_demand
    published = find(session.registry, tier, session.stack.profile.tag) is not None
    regions, reason = known_regions(session, out)
    how = modes(census(session, tier) if published else None, session.stack.profile.archs)
    found = places(how, regions, asked.machine, asked.gpu, int(asked.gpus or 0))
    order = cheapest_first([each.machine for each in found], spot)
    found.sort(key=lambda each: order.index(each.machine))
    source = f"{table()['source']}, {table()['date']}"
    if out.as_json:
        by = "census" if published else "profile"
        print_json(
            {
                "tier": tier,
                "judged_by": by,
                "source": source,
                "regions_not_known": reason or None,
                "machines": [form(each, spot) for each in found],
            }
        )
        return
    out.say(
        f"{tier}, by {'what is in the published image' if published else 'the list of profile ' + session.stack.profile_name}"
    )
    if not found:
        out.say("none of the known machines has what was asked for and runs this image")
    for place in found:
        price = place.machine.price(spot)
        cost = f"${price:g} an hour" if price is not None else "price not known"
        where_ = " ".join(place.regions) or "regions not known"
        size = f"{place.machine.processors} processors, {place.machine.memory} GB"
        out.say(f"{place.machine!s:44} {place.mode.value:12} {size:24} {cost}; {where_}")
    if reason:
        out.say(f"regions are not known: {reason}")
    out.say(f"machine types: {source}")


def known_regions(session: Session, out: "Output") -> "tuple[dict[str, tuple[str, ...]], str]":
    """Where there are which GPUs, asked of Google; else why that is not known."""
    from arrstack.gcp.accelerators import regions
    from arrstack.gcp.api import Api

    try:
        return regions(Api(session.google.project, session.environment, out.say, patience=10.0)), ""
    except ArrstackError as error:
        return {}, error.message


def form(place: "Place", spot: bool) -> dict[str, Any]:
    """The documented form of a machine (docs/guide/json.md)."""
    machine = place.machine
    return {
        "machine": machine.name,
        "gpu": machine.gpu or None,
        "gpus": machine.gpus,
        "gpu_memory_gb": machine.gpu_memory or None,
        "processors": machine.processors,
        "memory_gb": machine.memory,
        "runs": place.mode.value,
        "dollars_an_hour": machine.price(spot),
        "regions": list(place.regions) or None,
    }
