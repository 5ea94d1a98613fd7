"""The order of the pairs to review."""

from __future__ import annotations

from datetime import date

import pyarrow as pa
import pytest

from include.identity.link import link, match_all
from include.identity.policy import Policy
from include.identity.record import WEIGHTS
from tests.identity.rows import ADAM, pairs, persons
from tests.identity.test_learning import write_initials


def weigh(worth: dict[int, float | None]) -> pa.Table:
    return pa.table([list(worth), list(worth.values())], schema=WEIGHTS)


def order(records: pa.Table, weights: pa.Table | None) -> list[tuple[int, int]]:
    table = link(records, weights=weights).review
    return list(zip(table["left"].to_pylist(), table["right"].to_pylist(), strict=True))


def test_pair_that_two_kinds_of_evidence_keep_apart_is_not_reviewed_however_low_the_threshold() -> None:
    policy, adam = Policy(review_score=-10), ADAM | {"tax_id": "900-11-2233"}
    other = adam | {"tax_id": "900-55-7788"}
    assert pairs(link(persons(adam, other), policy=policy).review) == {(1, 2)}
    assert not pairs(link(persons(adam, other | {"birth_date": date(1939, 7, 2)}), policy=policy).review)


@pytest.mark.parametrize("rich", [5, 6])
def test_pair_with_more_behind_it_comes_first(rich: int) -> None:
    records = write_initials(4)
    assert order(records, None)[0] == (1, 2)
    assert order(records, weigh({2: 1000.0, rich: 5e6}))[:2] == [(5, 6), (1, 2)]


def test_worth_of_all_records_of_a_person_counts() -> None:
    rows = write_initials(2).to_pylist()
    records = persons(*rows, rows[2] | {"record_id": 5})
    assert pairs(link(records, weights=weigh({2: 1000.0})).review) >= {(1, 2), (3, 4)}
    assert order(records, weigh({2: 1000.0, 5: 5e6}))[0] == (3, 4)


def test_worth_changes_the_order_only() -> None:
    records = write_initials(8)
    plain, weighted = link(records), link(records, weights=weigh({at: 10.0**at for at in range(1, 9)}))
    assert weighted.clusters.equals(plain.clusters)
    assert pairs(weighted.review) == pairs(plain.review)


def test_unknown_worth_counts_as_none() -> None:
    records = write_initials(4)
    assert link(records, weights=weigh({99: 5.0})).review.equals(link(records).review)
    assert order(records, weigh({1: None, 3: 5.0}))[:2] == [(3, 4), (1, 2)]


def test_only_the_worth_of_people_with_a_pair_to_review_matters() -> None:
    rows = write_initials(4).to_pylist()
    sure = [
        rows[0] | {"record_id": at, "vendor": vendor, "tax_id": "900-11-2233"} for at, vendor in ((90, "a"), (91, "b"))
    ]
    matching = match_all(
        persons(
            *rows,
            rows[2] | {"record_id": 50},
            *(row | {"last_name": "Example", "street": None, "birth_date": None, "email": None} for row in sure),
        )
    )
    needed = matching.list_doubtful()
    assert 50 in needed
    assert 90 not in needed
    worth: dict[int, float | None] = {at: float(at**3) for at in (*range(1, 9), 50, 90, 91)}
    alone = matching.order(weigh({at: usd for at, usd in worth.items() if at in needed}))
    assert alone.review.equals(matching.order(weigh(worth)).review)
