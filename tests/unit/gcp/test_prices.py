"""What builds cost: only what is known is said."""

import datetime
import re

import pytest

from arrstack.errors import ConfigError
from arrstack.gcp.build_file import read
from arrstack.gcp.prices import DEFAULT_MACHINE, Price, bill, price, refuse_dearer, table
from arrstack.recipes.config import load
from tests.conftest import ROOT

KNOWN = Price("m", 0.5, "as given")


def test_the_table_says_whence_and_of_when_it_is() -> None:
    assert table()["source"].startswith("https://cloud.google.com/") and isinstance(table()["date"], datetime.date)


def test_a_machine_of_the_table_has_its_price_and_where_it_is_from() -> None:
    found = price("e2-highcpu-8", private=False, given=None)
    assert found.dollars == 0.016 and re.search(r"build/pricing, copy of \d{4}-", found.source)


def test_the_machine_that_compiles_has_no_citable_price() -> None:
    told = str(bill([600], price("c3-standard-176", private=True, given=None)))
    assert told.startswith("about 10 machine minutes on c3-standard-176: price not known")
    assert "--price-per-minute" in told


def test_a_default_machines_price_is_no_private_pools() -> None:
    assert price("e2-highcpu-8", private=True, given=None).dollars is None


def test_the_users_price_is_stronger_than_the_table() -> None:
    assert price("e2-highcpu-8", private=False, given=2.0) == Price("e2-highcpu-8", 2.0, "as given")


def test_every_builds_machine_is_paid_for() -> None:
    expected = bill([60, 30, 30], KNOWN)
    assert (expected.minutes, expected.dollars) == (2.0, 1.0)
    assert str(expected) == "about 2 machine minutes on m: about $1.00 ($0.5 a minute, as given)"


def test_a_lower_bound_is_called_one() -> None:
    assert str(bill([60], KNOWN, at_least=True)).startswith("at least 1 machine minutes on m: at least $0.50")


@pytest.mark.parametrize("most", [None, 0, 1.0, 2.0])
def test_what_is_within_the_limit_may_begin(most: float | None) -> None:
    refuse_dearer(bill([120], KNOWN), most)


def test_what_is_over_the_limit_is_refused_with_both_sums() -> None:
    with pytest.raises(ConfigError, match=r"may cost more than \$0.99: about 2 machine minutes on m: about \$1.00"):
        refuse_dearer(bill([120], KNOWN), 0.99)


def test_a_limit_that_cannot_be_told_is_not_kept_by_hope() -> None:
    for expected in (bill([60], Price("m", None, "nobody")), bill([60], KNOWN, at_least=True)):
        with pytest.raises(ConfigError, match="cannot be told"):
            refuse_dearer(expected, 100.0)


def test_the_default_machine_is_the_one_that_the_committed_files_ask_for() -> None:
    for tier in load(ROOT / "stack.toml").tiers:
        build = read(ROOT / "Stack" / tier.name / "cloudbuild.yaml").build
        assert build["options"]["machineType"].lower().replace("_", "-") == DEFAULT_MACHINE
