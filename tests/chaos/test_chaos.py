"""Twenty seeds of kills and stops under the real scheduler; each ends like its undisturbed twin, without an operator."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.__main__ import read_seeds, run


@pytest.mark.airflow
@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_whatever_dies_a_day_ends_as_its_undisturbed_twin(tmp_path: Path) -> None:
    assert run(range(20), tmp_path, print) == []


@pytest.mark.parametrize(("text", "seeds"), [("7", [7]), ("0-3", [0, 1, 2, 3]), ("0-1,17", [0, 1, 17])])
def test_seeds_are_ranges_and_single_ones(text: str, seeds: list[int]) -> None:
    assert read_seeds(text) == seeds
