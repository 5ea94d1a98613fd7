"""All rules over every vendor's present day and over the whole picture, and what becomes of their findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from include.control import findings
from include.control.findings import Look, Tally
from include.database import statistics
from include.errors import FatalError
from include.rules import PICTURE_RULES, RULES
from include.rules.book import Book, PresentDay, find_present_days, read_book
from include.rules.finding import FINDINGS
from include.rules.picture import Picture, find_vendors, read_picture
from include.rules.policy import Policy
from include.rules.rule import Looked, Rule

Within = Callable[[], AbstractContextManager[sa.Connection]]
"""Opens a transaction."""

FOUND = pa.schema([("rule", pa.string()), ("severity", pa.string()), *FINDINGS])


def judge_all(
    engine: sa.Engine,
    policy: Policy,
    run_id: str,
    rules: Sequence[Rule[Book]] = RULES,
    picture_rules: Sequence[Rule[Picture]] = PICTURE_RULES,
) -> dict[str, dict[str, Tally]]:
    """Reads each vendor's present day, then the whole picture, runs the rules and settles what they find.

    A day that was not reconciled says nothing; of one that does not balance, only the rules about data speak. The picture
    says nothing while any vendor's newest day is either. What it finds stands under the vendor of the record that stands
    for the household or person. Each vendor is one transaction, of its day and of the picture.

    Args:
        engine: As the loading role.
        policy: The firm's thresholds.
        run_id: Names the run in the findings.
        rules: Which, on a vendor's day.
        picture_rules: Which, on the picture.

    Returns:
        Vendor -> rule -> what became of its findings. A rule that could not tell is left out.

    Raises:
        FatalError: Rules failed; those of all others are settled.
    """
    statistics.refresh(engine)
    reading = engine.execution_options(isolation_level="REPEATABLE READ").begin
    return _judge_all(reading, engine.begin, policy, run_id, rules, picture_rules)


def judge_within(
    connection: sa.Connection,
    policy: Policy,
    run_id: str,
    rules: Sequence[Rule[Book]] = RULES,
    picture_rules: Sequence[Rule[Picture]] = PICTURE_RULES,
) -> dict[str, dict[str, Tally]]:
    """Does as `judge_all` within one transaction (REPEATABLE READ), which the caller commits or rolls back."""

    def within() -> AbstractContextManager[sa.Connection]:
        return nullcontext(connection)

    return _judge_all(within, within, policy, run_id, rules, picture_rules)


def _judge_all(
    reading: Within,
    writing: Within,
    policy: Policy,
    run_id: str,
    rules: Sequence[Rule[Book]],
    picture_rules: Sequence[Rule[Picture]],
) -> dict[str, dict[str, Tally]]:
    failed: dict[str, Exception] = {}
    tallies: dict[str, dict[str, Tally]] = {}
    with reading() as connection:
        vendors = [day.vendor for day in find_present_days(connection)]
    for vendor in vendors:
        day, book = _read(reading, vendor)
        if book is None:
            continue
        found, judged = judge(book, policy, [r for r in rules if day.is_balanced or r.is_about_data], failed)
        look = Look(vendor, day.business_date, day.read_at, run_id)
        with writing() as connection:
            tallies[vendor] = findings.settle(connection, look, judged, found, book.silent)
    for vendor, settled in _judge_picture(reading, writing, policy, run_id, picture_rules, failed).items():
        tallies[vendor] = tallies.get(vendor, {}) | settled
    if failed:
        # Without their own words, which may quote a client's figures.
        words = ", ".join(f"{name} ({type(error).__name__})" for name, error in failed.items())
        raise FatalError("Rules failed; the findings of all others are settled", rules=words)
    return tallies


def judge(
    looked: Looked, policy: Policy, rules: Sequence[Rule[Looked]], failed: dict[str, Exception]
) -> tuple[pa.Table, dict[str, int]]:
    """Runs rules over a book, or over a picture.

    Args:
        looked: What they look at.
        policy: Thresholds.
        rules: Which.
        failed: Gets the rules that raised, and what.

    Returns:
        The findings, in the columns of `FOUND`; and the rules that could tell, with their `open_days`.
    """
    parts, judged = [FOUND.empty_table()], {}
    for rule in rules:
        try:
            found = rule.judge(looked, policy)
        except Exception as error:
            failed[rule.name] = error
            continue
        if found is not None:
            named = [pa.repeat(pa.scalar(word), found.num_rows) for word in (rule.name, rule.severity)]
            parts.append(pa.table([*named, *found.columns], schema=FOUND))
            judged[rule.name] = rule.open_days
    return pa.concat_tables(parts), judged


def _judge_picture(
    reading: Within,
    writing: Within,
    policy: Policy,
    run_id: str,
    rules: Sequence[Rule[Picture]],
    failed: dict[str, Exception],
) -> dict[str, dict[str, Tally]]:
    with reading() as connection:
        picture = read_picture(connection)
        vendors = find_vendors(connection, picture, [rule.name for rule in rules]) if picture else []
    if picture is None:
        return {}
    found, judged = judge(picture, policy, rules, failed)
    by_vendor = _by_vendor(picture, found)
    tallies = {}
    for vendor in vendors:
        look = Look(vendor, picture.business_date, picture.read_at, run_id)
        with writing() as connection:
            mine = by_vendor.filter(pc.equal(by_vendor["vendor"], vendor)).select(FOUND.names)
            tallies[vendor] = findings.settle(connection, look, judged, mine, picture.silent)
    return tallies


def _by_vendor(picture: Picture, found: pa.Table) -> pa.Table:
    """Findings with the vendor of the record that stands for their subject."""
    parts = []
    tables = {"household": picture.households, "person": picture.persons, "deal": picture.deals}
    for entity, known in tables.items():
        about = found.filter(pc.equal(found["subject_entity"], entity))
        place = pc.index_in(about["subject_id"], known[f"{entity}_id"].combine_chunks())
        parts.append(about.append_column("vendor", known["vendor"].take(place)))
    return pa.concat_tables(parts)


def _read(reading: Within, vendor: str) -> tuple[PresentDay, Book | None]:
    """A vendor's present day and its book, as of one moment; no book where it was not reconciled."""
    with reading() as connection:
        [day] = [day for day in find_present_days(connection) if day.vendor == vendor]
        return day, read_book(connection, day) if day.is_compared else None
