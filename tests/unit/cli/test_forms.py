"""The documented JSON forms, of what anybody may have written."""

from datetime import UTC, datetime

import pytest

from arrstack.cli.forms import age_seconds

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_an_image_s_age_is_that_of_its_label() -> None:
    assert age_seconds("2026-01-01T00:00:00+00:00", NOW) == 86400
    assert age_seconds("2026-01-01T02:00:00+02:00", NOW) == 86400


@pytest.mark.parametrize("label", [None, "", "yesterday", "2026-01-01", "2026-01-01T00:00:00", "5", "2026-13-01T00:00:00Z"])
def test_a_label_that_is_no_date_with_a_zone_gives_no_age(label: str | None) -> None:
    assert age_seconds(label, NOW) is None
