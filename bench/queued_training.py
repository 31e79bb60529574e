"""From `launch --submit` to trained weights on one machine, with the images that a launch built: does a job that loses its machine twice end
with the weights of one that did not? A second job trains on images of one's own, from the bucket.

    bench/queued_training.py FOLDER [--from oci:DIRECTORY] [--profile cpu]

The images of `--from` (default: the registry directory of this user) go to a registry server, where Vertex AI could pull them. The agent
runs in its own image, the job in the trainer's, by buildah. Stand-ins are the servers of W&B and of Google (tests/fakes). Its stores and
logs stay in FOLDER, about 6 GB. tests/integration/test_queued_training.py is the same with a trainer that needs no torch.
"""

import argparse
import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from google.cloud.aiplatform_v1.types import JobState, Scheduling
from tests.conftest import ROOT
from tests.contract.conftest import serving
from tests.fakes.containers import Containers, Preemption
from tests.fakes.google.server import GoogleServer, Response
from tests.fakes.google.storage import Storage, storage
from tests.fakes.google.vertex import VertexFake
from tests.fakes.wandb import KEY, WandbServer

from arrstack.engines import Buildah
from arrstack.machine.process import Processes

SECRET = "projects/my-project/secrets/wandb/versions/latest"
BUCKET = "my-project-arrstack-training"
STEPS, EVERY = 60, 2
WORDS = f"steps={STEPS} log_every={EVERY} save_every=10 held_out=64 seed=1"
OUTPUT = "output=gs://{bucket}/runs/{run}"


@dataclass
class Desk:
    """A person's machine and what it talks to."""

    folder: Path
    profile: str
    environment: Mapping[str, str]
    wandb: WandbServer
    objects: Storage
    vertex: VertexFake
    machines: Containers

    def start(self, *words: str) -> "subprocess.Popen[str]":
        command = [
            sys.executable,
            "-m",
            "arrstack",
            "--stack",
            str(ROOT / "stack.toml"),
            "--profile",
            self.profile,
            "--yes",
            *words,
        ]
        return subprocess.Popen(command, env=dict(self.environment), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def ok(self, *words: str) -> str:
        process = self.start(*words)
        told, _ = process.communicate()
        expect(process.returncode == 0, f"arrstack {' '.join(words)} ended with {process.returncode}:\n{told}")
        return told

    def newest(self) -> int:
        """The step of the newest checkpoint in the bucket; 0 where there is none."""
        done = [name.split("/")[-2] for name in self.objects.names(BUCKET) if name.endswith("/DONE")]
        return max((int(name.removeprefix("step-")) for name in done), default=0)


def expect(condition: bool, otherwise: object) -> None:
    if not condition:
        sys.exit(f"NOT AS EXPECTED: {otherwise}")


def wait(condition: Callable[[], bool], what: str, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < end, f"{what}, within {seconds:.0f} s")
        time.sleep(0.2)


def tensors(data: bytes) -> "dict[str, tuple[str, list[int], bytes]]":
    """Names, types, shapes and bytes of a safetensors file (its format's README): two files of the same tensors may differ in their heads."""
    start = 8 + int.from_bytes(data[:8], "little")
    head = json.loads(data[8:start])
    return {
        name: (each["dtype"], each["shape"], data[start + each["data_offsets"][0] : start + each["data_offsets"][1]])
        for name, each in head.items()
        if name != "__metadata__"
    }


def agent(desk: Desk) -> "subprocess.Popen[str]":
    """The agent in its own image, with the key in Secret Manager."""
    given = {
        name: desk.environment[name]
        for name in desk.environment
        if name.startswith(("CLOUDSDK_API_", "GOOGLE_CLOUD_", "ARR_AGENT_"))
    }
    given |= {"WANDB_BASE_URL": desk.wandb.address, "GOOGLE_APPLICATION_CREDENTIALS": "/login/service-account.json"}
    variables = [word for name, value in given.items() for word in ("-e", f"{name}={value}")]
    words = ["arr-agent", "--entity", "team", "--queue", "gpus"]
    return desk.start("run", *variables, "-v", f"{desk.folder}/buckets/login:/login:ro", "arr-vertex-launcher", "--", *words)


def first_job(desk: Desk) -> str:
    """A spot job that loses its machine twice; what is to be said of it."""
    preemptions = [Preemption(lambda: desk.newest() >= 20, notice=True), Preemption(lambda: desk.newest() >= 40, notice=False)]
    desk.machines.preemptions += preemptions
    told = desk.ok("launch", "--submit", "--queue", "gpus", "--machine", "e2-standard-4", "--arguments", f"{WORDS} {OUTPUT}")
    job = desk.vertex.only()
    # W&B has the run's end before its program has ended.
    wait(lambda: job.state == JobState.JOB_STATE_SUCCEEDED, f"the first job ends well: {desk.machines.logs}")
    run = job.labels["wandb-run-id"]
    expect(job.job_spec.scheduling.strategy == Scheduling.Strategy.SPOT, job)
    expect(KEY not in str(job), "the key stands in the job")
    expect(desk.machines.statuses == [128 + signal.SIGTERM, -signal.SIGKILL, 0], (desk.machines.statuses, desk.machines.logs))
    resumed = [line for log in desk.machines.logs for line in log.splitlines() if line.startswith("resuming ")]
    expect(len(resumed) == 2, desk.machines.logs)
    for state in ("queued", "running", "finished"):
        expect(f"gpus: {state}" in told, told)
    reported = desk.wandb.runs[run]
    steps = [row["_step"] for row in reported.rows]  # the step that a notice stopped it after is among them
    expect(steps == sorted(set(steps)) and set(range(EVERY, STEPS + 1, EVERY)) <= set(steps), steps)
    expect((reported.state, desk.wandb.starts[run]) == ("finished", 3), (reported.state, desk.wandb.starts))
    maps = reported.files[reported.rows[-1]["allocation-maps"]["path"]]
    expect(maps.startswith(b"\x89PNG"), "the allocation maps are no picture")
    weights = desk.objects.get(BUCKET, f"runs/{run}/step-{STEPS:06d}/model.safetensors")
    alone = desk.folder / "alone"
    alone.mkdir(exist_ok=True)
    desk.ok("run", "-v", f"{alone}:/alone", "arr-trainer", "--", "arr-train", *WORDS.split(), "output=/alone", "wandb=off")
    undisturbed = (alone / f"step-{STEPS:06d}/model.safetensors").read_bytes()
    expect(tensors(weights or b"") == tensors(undisturbed), "the weights are not those of a run that nobody disturbed")
    begun = [line.split(": ")[1].split(" of ")[0] for line in resumed]
    return f"went on from steps {' and '.join(begun)} of {STEPS}, ended {preemptions[0].seconds:.1f} s after the notice; same weights"


def own_images(folder: Path) -> None:
    """A data set as in docs/guide/training.md: images of one colour each, and what that is."""
    for split, count in (("train", 24), ("test", 6)):
        (folder / split).mkdir(parents=True, exist_ok=True)
        rows = [(f"{number}.ppm", ("red", "green", "blue")[number % 3]) for number in range(count)]
        for name, label in rows:
            colour = {"red": b"\xc8\x1e\x1e", "green": b"\x1e\xc8\x1e", "blue": b"\x1e\x1e\xc8"}[label]
            (folder / split / name).write_bytes(b"P6 20 30 255\n" + 600 * colour)
        table = "".join(f"{name},which colour,{label}\n" for name, label in rows)
        (folder / split / "metadata.csv").write_text(f"file_name,query,label\n{table}")


def second_job(desk: Desk) -> None:
    own_images(desk.machines.buckets / BUCKET / "my-images")
    words = ["launch", "--submit", "--detach", "--on-demand", "--queue", "gpus", "--machine", "e2-standard-4"]
    desk.ok(*words, "--arguments", f"data=/gcs/{{bucket}}/my-images side=32 batch=12 steps=20 held_out=6 {OUTPUT}")
    wait(lambda: len(desk.vertex.jobs) == 2, "the agent takes a second job")
    job = list(desk.vertex.jobs.values())[1]
    wait(lambda: job.state == JobState.JOB_STATE_SUCCEEDED, f"the second job ends well: {desk.machines.logs[-1:]}")
    expect(job.job_spec.scheduling.strategy == Scheduling.Strategy.STANDARD, job)


def story(desk: Desk, source: str, server: str) -> None:
    desk.objects.make(BUCKET)
    desk.wandb.add_queue("gpus")
    began = time.monotonic()
    desk.ok("--registry", source, "--layers", "zstd", "push", f"{server}/built")
    print(f"pushed to a registry server in {time.monotonic() - began:.0f} s", flush=True)
    taker = agent(desk)
    try:
        began = time.monotonic()
        print(f"first job: {first_job(desk)}; {time.monotonic() - began:.0f} s", flush=True)
        second_job(desk)
        print("second job: taken, ended well", flush=True)
    finally:
        began = time.monotonic()
        taker.send_signal(signal.SIGTERM)
        told, _ = taker.communicate(timeout=60)
        (desk.folder / "agent.log").write_text(told)
    print(f"agent: ended with {taker.returncode} {time.monotonic() - began:.1f} s after SIGTERM", flush=True)
    expect(taker.returncode == 128 + signal.SIGTERM, told)
    expect(not desk.wandb.unknown, desk.wandb.unknown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--from", dest="source", default=f"oci:{Path.home()}/.local/share/arrstack/registry")
    parser.add_argument("--profile", default="cpu")
    given = parser.parse_args()
    folder = given.folder.absolute()
    for name in ("registry", "downloads", f"buckets/{BUCKET}", "buckets/login"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ARRSTACK_")} | {
        "WANDB_SILENT": "true",
        "HOME": str(folder),
    }
    environment |= {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("CACHE", "STATE", "DATA")}
    with (
        serving(folder / "registry", folder / "downloads") as server,
        WandbServer() as wandb,
        GoogleServer() as google,
        storage(google) as objects,
    ):
        secret = json.dumps({"payload": {"data": base64.b64encode(KEY.encode()).decode()}}).encode()
        google.plain("GET", f"/v1/{SECRET}:access", lambda _: Response(200, {"Content-Type": "application/json"}, secret))
        google.login(folder / "buckets/login")
        insecure = folder / "registries.conf"
        insecure.write_text(f'[[registry]]\nlocation = "{server}"\ninsecure = true\n')
        environment |= wandb.environment | {
            "CONTAINERS_REGISTRIES_CONF": str(insecure), "ARRSTACK_REGISTRY": f"{server}/built", "ARRSTACK_ENGINE": "buildah",
            "GOOGLE_CLOUD_PROJECT": "my-project", "GOOGLE_CLOUD_REGION": "us-central1", "ARR_AGENT_INTERVAL": "1", "ARR_AGENT_KEY_SECRET": SECRET,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM": google.address, "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER": google.address,
        }  # fmt: skip
        engine = Buildah(Processes(environment), folder / "cache/arrstack", os.geteuid() == 0)
        engine.version()
        # What Vertex AI gives a program of itself: its login, and the way to Google.
        own = {
            "GOOGLE_APPLICATION_CREDENTIALS": "/gcs/login/service-account.json", "STORAGE_EMULATOR_HOST": google.address,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER": google.address,
        }  # fmt: skip
        machines = Containers(engine, folder / "buckets", own)
        desk = Desk(folder, given.profile, environment, wandb, objects, VertexFake(google, machines), machines)
        story(desk, given.source, server)


if __name__ == "__main__":
    main()
