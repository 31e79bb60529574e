"""What buildah says, read."""

import pytest

from arrstack.engines.buildah import byte_count


@pytest.mark.parametrize(
    ("said", "count"),
    [("441 MB", 441_000_000), ("1.2 GB", 1_200_000_000), ("12.5 kB", 12_500), ("7 KB", 7_000), ("7 B", 7), ("0", 0)],
)
def test_a_size_is_read_in_powers_of_a_thousand(said: str, count: int) -> None:
    assert byte_count(said) == count
