"""Checks that are new or changed, on images that are published."""

import pytest

from arrstack.errors import VerificationError
from arrstack.model import Action, EventKind
from tests.unit.launch.test_launch import Place, place  # noqa: F401 - a fixture


@pytest.fixture
def checked(place: Place) -> Place:  # noqa: F811
    (place.stack.root / "two/checks").mkdir()
    (place.stack.root / "two/checks/works.py").write_text("print()\n")
    place.builder.programs["works.py"] = (0, [])
    place.run()
    return place


def write_check(place: Place, text: str, status: int) -> None:  # noqa: F811
    (place.stack.root / "two/checks/works.py").write_text(text)
    place.builder.programs["works.py"] = (status, ["it does not work"] if status else [])


def test_the_checks_that_an_image_passed_when_it_was_built_are_not_due_again(checked: Place) -> None:
    plan = checked.launch().plan()
    assert [tier.action for tier in plan.tiers] == [Action.REUSE, Action.REUSE]
    assert plan.unproved == ()


def test_a_changed_check_runs_once_on_the_image_that_is_there_and_nothing_is_built(checked: Place) -> None:
    write_check(checked, "print(2)\n", 0)
    assert [tier.name for tier in checked.launch().plan().unproved] == ["two"]
    events = checked.run()
    assert [event.step for event in events if event.kind is EventKind.DONE] == ["one", "two/works.py", "two"]
    assert checked.builder.steps == ["one", "two"]
    assert checked.launch().plan().unproved == (), "it is remembered"


def test_an_image_that_says_nothing_of_checks_is_let_be(place: Place) -> None:  # noqa: F811
    place.run()
    image = place.registry.images["two", "latest"]
    for (repository, tag), held in list(place.registry.images.items()):
        labels = {name: value for name, value in held.labels.items() if name != "io.arrstack.checks"}
        place.registry.images[repository, tag] = type(image)(**{**vars(held), "labels": labels})
    (place.stack.root / "two/checks").mkdir()
    (place.stack.root / "two/checks/works.py").write_text("")
    assert place.launch().plan().unproved == ()


def test_where_it_fails_the_tag_goes_back_to_the_image_that_passes(checked: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    first = checked.latest("two")
    checked.write(two_two_txt="changed")
    checked.run()
    second = checked.latest("two")
    assert first != second
    write_check(checked, "print(3)\n", 1)
    run = checked.builder.run

    def run_by_content(reference: str, *given: object):  # type: ignore[no-untyped-def]
        checked.builder.programs["works.py"] = (0, []) if checked.builder.store[reference][0] == first else (1, ["no"])
        return run(reference, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(checked.builder, "run", run_by_content)
    with pytest.raises(VerificationError, match="the check works") as failed:
        checked.run()
    assert "two:latest is the earlier image" in failed.value.hint
    assert checked.latest("two") == first


def test_where_no_image_passes_the_tag_stays(checked: Place) -> None:
    before = checked.latest("two")
    write_check(checked, "print(4)\n", 1)
    with pytest.raises(VerificationError) as failed:
        checked.run()
    assert "stays what it was" in failed.value.hint
    assert checked.latest("two") == before
    assert [tier.name for tier in checked.launch().plan().unproved] == ["two"], "the next launch tells it again"
