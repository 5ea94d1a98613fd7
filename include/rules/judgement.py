"""All rules over every vendor's present day, and what becomes of their findings."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import sqlalchemy as sa

from include.control import findings
from include.control.findings import Look, Tally
from include.errors import FatalError
from include.rules import RULES
from include.rules.book import Book, PresentDay, find_present_days, read_book
from include.rules.finding import FINDINGS
from include.rules.policy import Policy
from include.rules.rule import Rule

FOUND = pa.schema([("rule", pa.string()), ("severity", pa.string()), *FINDINGS])


def judge_all(
    engine: sa.Engine, policy: Policy, run_id: str, rules: Sequence[Rule] = RULES
) -> dict[str, dict[str, Tally]]:
    """Reads each vendor's present day, runs the rules over it and settles what they find.

    A day that was not reconciled says nothing; of one that does not balance, only the rules about data speak. Each
    vendor is one transaction.

    Args:
        engine: As the loading role.
        policy: The firm's thresholds.
        run_id: Names the run in the findings.
        rules: Which.

    Returns:
        Vendor -> rule -> what became of its findings. A rule that could not tell is left out.

    Raises:
        FatalError: Rules failed; those of all others are settled.
    """
    failed: dict[str, Exception] = {}
    tallies: dict[str, dict[str, Tally]] = {}
    with engine.connect() as connection:
        vendors = [day.vendor for day in find_present_days(connection)]
    for vendor in vendors:
        day, book = _read(engine, vendor)
        if book is None:
            continue
        found, judged = judge(book, policy, [r for r in rules if day.is_balanced or r.is_about_data], failed)
        look = Look(vendor, day.business_date, day.read_at, run_id)
        with engine.begin() as connection:
            tallies[vendor] = findings.settle(connection, look, judged, found, book.silent)
    if failed:
        # Without their own words, which may quote a client's figures.
        words = ", ".join(f"{name} ({type(error).__name__})" for name, error in failed.items())
        raise FatalError("Rules failed; the findings of all others are settled", rules=words)
    return tallies


def judge(
    book: Book, policy: Policy, rules: Sequence[Rule], failed: dict[str, Exception]
) -> tuple[pa.Table, dict[str, int]]:
    """Runs rules over a book.

    Args:
        book: The day.
        policy: Thresholds.
        rules: Which.
        failed: Gets the rules that raised, and what.

    Returns:
        The findings, in the columns of `FOUND`; and the rules that could tell, with their `open_days`.
    """
    parts, judged = [FOUND.empty_table()], {}
    for rule in rules:
        try:
            found = rule.judge(book, policy)
        except Exception as error:
            failed[rule.name] = error
            continue
        if found is not None:
            named = [pa.repeat(pa.scalar(word), found.num_rows) for word in (rule.name, rule.severity)]
            parts.append(pa.table([*named, *found.columns], schema=FOUND))
            judged[rule.name] = rule.open_days
    return pa.concat_tables(parts), judged


def _read(engine: sa.Engine, vendor: str) -> tuple[PresentDay, Book | None]:
    """A vendor's present day and its book, as of one moment; no book where it was not reconciled."""
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection, connection.begin():
        [day] = [day for day in find_present_days(connection) if day.vendor == vendor]
        return day, read_book(connection, day) if day.is_compared else None
