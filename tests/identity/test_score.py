"""Pairs are scored in chunks."""

from __future__ import annotations

import pytest

from include.identity import score
from include.identity.link import match_all
from local.bench.identity_days import ON
from local.bench.people import make_firm


def test_the_scores_do_not_depend_on_the_size_of_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    persons = make_firm(250).persons
    order = [("left", "ascending"), ("right", "ascending")]
    whole = match_all(persons, on=ON).scored.sort_by(order)
    monkeypatch.setattr(score, "CHUNK", len(whole) // 3)
    assert match_all(persons, on=ON).scored.sort_by(order).equals(whole)
    assert len(whole) > 100
