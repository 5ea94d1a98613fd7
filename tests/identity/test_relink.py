"""Daily runs match only what changed, and find what a full run finds."""

from __future__ import annotations

import pyarrow as pa
import pytest

from include.identity.link import link, match_all
from include.identity.record import KNOWN
from include.identity.relink import relink
from local.bench.identity_days import ON, compare_days
from local.bench.people import make_firm
from tests.identity.rows import ADAM, BEA, people, persons


@pytest.mark.parametrize("seed", [1, 2])
def test_daily_runs_find_what_a_full_run_finds(seed: int) -> None:
    days = compare_days(make_firm(250, seed=seed), days=5, share=0.01, seed=seed)
    assert [day["differences"] for day in days] == [[]] * 5
    assert all(day["matched"] > day["changed"] for day in days)


def test_a_run_without_changes_matches_nothing() -> None:
    before = match_all(persons(ADAM, BEA), on=ON)
    after = relink(before, persons().slice(0, 0))
    assert after.touched is not None
    assert len(after.touched) == 0
    assert after.linked.clusters.equals(before.linked.clusters)


def test_only_existing_records_are_counted_as_matched() -> None:
    before = match_all(persons(ADAM, BEA), on=ON)
    moved = persons(ADAM, BEA | {"phone": "(402) 555-0199"}).slice(1)
    assert [
        relink(before, changed, removed).count_matched() for changed, removed in ((moved, []), (moved[:0], [2]))
    ] == [1, 0]
    assert before.count_matched() is None


def test_a_person_with_the_id_of_a_record_that_no_longer_exists_is_matched_again() -> None:
    known = pa.table([[1, 2, 9], [9, 2, 9]], schema=KNOWN)
    before = match_all(persons(ADAM, BEA), known=known, on=ON)
    after = relink(before, persons(ADAM | {"phone": "(402) 555-0199"}), known=known)
    assert people(after.linked) == {1: 9, 2: 2}


def test_a_name_that_becomes_a_companys_leaves_the_persons_id() -> None:
    """The company must not keep the id that it had as one of the person's records."""
    first = link(persons(ADAM, ADAM)).clusters
    assert len(set(first["person_id"].to_pylist())) == 1
    company = {**ADAM, "name": "Adam Sample Holdings LLC", "first_name": None, "last_name": None}
    second = link(persons(ADAM, company), known=first.cast(KNOWN)).clusters
    assert len(set(second["person_id"].to_pylist())) == 2


def test_a_company_that_changes_back_is_matched_again() -> None:
    """The run in between may have stored another result of its records."""
    company = {
        "name": "Specimen Orchards LLC",
        "street": "12 North Example St",
        "city": "Omaha",
        "postal_code": "68102",
    }
    other = {**company, "name": "Placeholder Dairy Inc"}
    first = match_all(persons(company, company), on=ON)
    between = relink(first, persons(company, other).slice(1))
    last = relink(first, persons().slice(0, 0), again=between.core)
    assert [len(set(each.linked.clusters["person_id"].to_pylist())) for each in (first, between, last)] == [1, 2, 1]
    assert last.touched is not None
    assert {1, 2} <= set(last.touched.tolist())
