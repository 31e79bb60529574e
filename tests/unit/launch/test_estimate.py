"""How long a compile takes on another machine, by the record of one."""

from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace

import pytest

from arrstack.errors import ConfigError
from arrstack.launch.estimate import compile_seconds, estimates, known_rows, knows_gpu_code
from arrstack.launch.progress import COST, Progress
from arrstack.launch.record import costs, read_record, rows_of
from arrstack.launch.steps import Steps
from arrstack.machine.folders import Folders
from arrstack.machine.memory import Memory
from arrstack.recipes.config import Wheel, load
from tests.conftest import ROOT


def row(seconds: str, name: str) -> str:
    return f"{seconds}\t0.00\t0\t1.00\t0\tplain\t{name}\n"


def wheel(cpu_seconds: float = 0) -> Wheel:
    return Wheel("torch", "torch-wheel", "torch", "V", "K", cpu_seconds)


def test_without_a_record_the_work_is_shared_out_evenly() -> None:
    assert compile_seconds(wheel(100), {}, 4) == 25


def test_with_a_record_no_machine_is_faster_than_the_dearest_edge() -> None:
    record = {"a.o": 10.0, "b.o": 1.0, "c.o": 1.0}
    assert [compile_seconds(wheel(), record, jobs) for jobs in (1, 2, 176)] == [12, 10, 10]


def test_an_objects_architectures_share_many_processors() -> None:
    record = {"a.cu.o": 22.0, "b.o": 1.0}
    assert [round(compile_seconds(wheel(), record, jobs, archs=5)) for jobs in (1, 2, 176)] == [23, 12, 10]
    assert compile_seconds(wheel(), record, 176, archs=1) == 22


def test_more_processors_are_never_slower() -> None:
    record = read_record(ROOT / "Stack/arr-pytorch-base/records/torch.tsv")
    found = [compile_seconds(wheel(4150), record, jobs) for jobs in (2, 4, 16, 64, 176)]
    assert found == sorted(found, reverse=True) and found[-1] >= max(record.values())


@pytest.mark.parametrize(("name", "known"), [("x.cpp.o", False), ("x.cu.o", True)])
def test_of_gpu_code_only_a_record_that_has_some_knows(name: str, known: bool) -> None:
    assert knows_gpu_code([{name: 1.0}]) is known


def test_what_was_measured_here_is_stronger_than_the_record(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    memory.remember("arr-pytorch-base/torch", 7.0)
    found = estimates(load(ROOT / "stack.toml"), 176, memory)
    assert found["arr-pytorch-base/torch"] == 7.0 and found["arr-pytorch-base/vision"] == 150 / 176


def test_what_this_machine_saw_of_an_object_is_stronger_than_the_shipped_record(tmp_path: Path) -> None:
    stack, memory, step = load(ROOT / "stack.toml"), Memory(tmp_path), "arr-pytorch-base/torch"
    torch = stack.tiers[0].wheels[0]
    shipped = costs(known_rows(stack, memory, step, torch))
    dearest = max(shipped, key=lambda name: shipped[name])
    memory.keep_edges(step, row(f"{2 * shipped[dearest]:.2f}", dearest))
    assert costs(known_rows(stack, memory, step, torch))[dearest] == pytest.approx(2 * shipped[dearest], abs=0.01)


def test_a_compile_for_one_architecture_tells_the_next_one_for_five_what_it_will_cost(tmp_path: Path) -> None:
    class Builder:
        def build(self, step: object, reference: str, log: object) -> Generator[str, None, str]:
            yield COST + "10.00\t0.00\t9\t1.00\t0\tapart\tk.cu.o"
            return reference

    folders = Folders.of({"HOME": str(tmp_path)})
    memory = folders.memory(tmp_path / "stack.toml", "cuda")
    step = SimpleNamespace(name="base/torch", cache_mounts=())
    for _ in Steps(Builder(), folders, memory).build(step, "base:1", Progress("base/torch", archs=1)):  # type: ignore[arg-type]
        pass
    assert costs(rows_of(memory.edges("base/torch"))) == {"k.cu.o": 22.0}
    assert "base/torch" in memory.durations(1) and "base/torch" not in memory.durations(5)


def test_a_file_that_is_no_record_is_refused_also_where_the_step_was_measured(tmp_path: Path) -> None:
    """A build would be too late to learn it."""
    stack, memory = load(ROOT / "stack.toml"), Memory(tmp_path)
    memory.remember("arr-pytorch-base/torch", 7.0)
    (tmp_path / "none.tsv").write_text("no record\n")
    stack.record = lambda wheel: tmp_path / "none.tsv"  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="no line of a record of edges"):
        estimates(stack, 1, memory)
