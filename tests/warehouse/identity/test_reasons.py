"""The reasons of the links that are stored."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from include.identity import store
from include.identity.record import LINKS, REVIEW
from tests.warehouse.identity.firm import Firm

REASON = {"score": 12.5, "agreed": ["email", "phone"], "differed": [], "how": "model", "rule": None}


def keep(
    firm: Firm, run_id: str, pairs: dict[tuple[int, int], dict[str, Any]], within: list[int] | None = None
) -> None:
    rows = [{"left": left, "right": right} | REASON | reason for (left, right), reason in pairs.items()]
    with firm.engine.begin() as connection:
        links = pa.Table.from_pylist(rows, schema=LINKS)
        store.store_reasons(connection, "person", links, REVIEW.empty_table(), run_id, within)


def read(firm: Firm) -> dict[tuple[int, int], tuple[float, str]]:
    rows = firm.database.rows("select left_id, right_id, score, run_id from control.identity_link")
    return {(row["left_id"], row["right_id"]): (row["score"], row["run_id"]) for row in rows}


def test_a_link_keeps_the_run_that_found_it_until_its_reasons_change_or_it_ends(firm: Firm) -> None:
    keep(firm, "r1", {(1, 2): {}, (1, 3): {}, (1, 4): {}})
    keep(firm, "r2", {(1, 2): {}, (1, 3): {"score": 13.0}, (1, 5): {"rule": "twins"}})
    assert read(firm) == {(1, 2): (12.5, "r1"), (1, 3): (13.0, "r2"), (1, 5): (12.5, "r2")}
    keep(firm, "r3", {(1, 2): {}, (1, 3): {"score": 13.0, "agreed": ["email"]}, (1, 5): {}})
    assert read(firm) == {(1, 2): (12.5, "r1"), (1, 3): (13.0, "r3"), (1, 5): (12.5, "r3")}


def test_a_daily_run_ends_only_links_of_the_records_that_it_matched(firm: Firm) -> None:
    keep(firm, "r1", {(1, 2): {}, (1, 3): {}, (6, 7): {}, (8, 9): {}})
    keep(firm, "r2", {(1, 3): {}, (1, 6): {}}, within=[1, 2, 3, 6])
    assert read(firm) == {(1, 3): (12.5, "r1"), (1, 6): (12.5, "r2"), (8, 9): (12.5, "r1")}
