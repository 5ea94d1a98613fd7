"""Evaluate all rules on every vendor's present day and on the household view; open, update and close their findings."""

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
from include.rules import HOUSEHOLD_RULES, RULES
from include.rules.finding import FINDINGS
from include.rules.household_view import HouseholdView, find_vendors, read_household_view
from include.rules.policy import Policy
from include.rules.rule import Data, Rule
from include.rules.snapshot import SILENT, PresentDay, Snapshot, find_present_days, read_snapshot

Within = Callable[[], AbstractContextManager[sa.Connection]]
"""A function that begins a transaction."""

FOUND = pa.schema([("rule", pa.string()), ("severity", pa.string()), *FINDINGS])


def evaluate_all(
    engine: sa.Engine,
    policy: Policy,
    run_id: str,
    rules: Sequence[Rule[Snapshot]] = RULES,
    household_rules: Sequence[Rule[HouseholdView]] = HOUSEHOLD_RULES,
) -> dict[str, dict[str, Tally]]:
    """Evaluate the rules on each vendor's present day, then on the household view; open, update and close (settle) their findings.

    - A day that has not been reconciled is not evaluated.
    - If the firm no longer uses a vendor, the findings of its day are closed.
    - On a day that failed to reconcile, only the rules about our data are evaluated (`Rule.is_about_data`).
    - The household view is not evaluated while the newest day of any vendor has not been reconciled or failed to reconcile.
    - A finding of the household view belongs to the vendor of the record that represents the household or person.
    - The findings of each vendor are settled in two transactions: one for its day, one for the household view.

    Args:
        engine: As the loading role.
        policy: The firm's thresholds.
        run_id: Id of the run, which the findings record.
        rules: The rules on a vendor's day.
        household_rules: The rules on the household view.

    Returns:
        Vendor -> rule -> counts of its findings. Rules that could not be evaluated are left out.

    Raises:
        FatalError: One or more rules raised an error. The findings of all other rules are settled.
    """
    statistics.refresh(engine)
    begin_reading = engine.execution_options(isolation_level="REPEATABLE READ").begin
    return _evaluate_all(begin_reading, engine.begin, policy, run_id, rules, household_rules)


def evaluate_within(
    connection: sa.Connection,
    policy: Policy,
    run_id: str,
    rules: Sequence[Rule[Snapshot]] = RULES,
    household_rules: Sequence[Rule[HouseholdView]] = HOUSEHOLD_RULES,
) -> dict[str, dict[str, Tally]]:
    """Do the same as `evaluate_all` in the caller's transaction (REPEATABLE READ), which the caller commits or rolls back."""

    def within() -> AbstractContextManager[sa.Connection]:
        return nullcontext(connection)

    return _evaluate_all(within, within, policy, run_id, rules, household_rules)


def _evaluate_all(
    begin_reading: Within,
    begin_writing: Within,
    policy: Policy,
    run_id: str,
    rules: Sequence[Rule[Snapshot]],
    household_rules: Sequence[Rule[HouseholdView]],
) -> dict[str, dict[str, Tally]]:
    failed: dict[str, Exception] = {}
    tallies: dict[str, dict[str, Tally]] = {}
    with begin_reading() as connection:
        vendors = [day.vendor for day in find_present_days(connection)]
    for vendor in vendors:
        day, snapshot = _read(begin_reading, vendor)
        if day.is_unused:
            found, evaluated, silent = FOUND.empty_table(), {rule.name: 0 for rule in rules}, SILENT.empty_table()
        elif snapshot is None:
            continue
        else:
            due = [rule for rule in rules if day.is_balanced or rule.is_about_data]
            (found, evaluated), silent = evaluate(snapshot, policy, due, failed), snapshot.silent
        look = Look(vendor, day.business_date, day.read_at, run_id)
        with begin_writing() as connection:
            tallies[vendor] = findings.settle(connection, look, evaluated, found, silent)
    for vendor, settled in _evaluate_household_view(
        begin_reading, begin_writing, policy, run_id, household_rules, failed
    ).items():
        tallies[vendor] = tallies.get(vendor, {}) | settled
    if failed:
        # Leave out the errors' messages, which may quote a client's figures.
        names = ", ".join(f"{name} ({type(error).__name__})" for name, error in failed.items())
        raise FatalError("Rules failed; the findings of all others are settled", rules=names)
    return tallies


def evaluate(
    data: Data, policy: Policy, rules: Sequence[Rule[Data]], failed: dict[str, Exception]
) -> tuple[pa.Table, dict[str, int]]:
    """Evaluate rules on a snapshot or on the household view.

    Args:
        data: The snapshot or household view.
        policy: Thresholds.
        rules: The rules to evaluate.
        failed: Receives an entry, rule -> error, for each rule that raised an error.

    Returns:
        The findings, in the columns of `FOUND`; and for each rule that could be evaluated: rule -> its `open_days`.
    """
    parts, evaluated = [FOUND.empty_table()], {}
    for rule in rules:
        try:
            found = rule.evaluate(data, policy)
        except Exception as error:
            failed[rule.name] = error
            continue
        if found is not None:
            constants = [pa.repeat(pa.scalar(word), found.num_rows) for word in (rule.name, rule.severity)]
            parts.append(pa.table([*constants, *found.columns], schema=FOUND))
            evaluated[rule.name] = rule.open_days
    return pa.concat_tables(parts), evaluated


def _evaluate_household_view(
    begin_reading: Within,
    begin_writing: Within,
    policy: Policy,
    run_id: str,
    rules: Sequence[Rule[HouseholdView]],
    failed: dict[str, Exception],
) -> dict[str, dict[str, Tally]]:
    with begin_reading() as connection:
        view = read_household_view(connection)
        vendors = find_vendors(connection, view, [rule.name for rule in rules]) if view else []
    if view is None:
        return {}
    found, evaluated = evaluate(view, policy, rules, failed)
    by_vendor = _add_vendor(view, found)
    tallies = {}
    for vendor in vendors:
        look = Look(vendor, view.business_date, view.read_at, run_id)
        with begin_writing() as connection:
            mine = by_vendor.filter(pc.equal(by_vendor["vendor"], vendor)).select(FOUND.names)
            tallies[vendor] = findings.settle(connection, look, evaluated, mine, view.silent)
    return tallies


def _add_vendor(view: HouseholdView, found: pa.Table) -> pa.Table:
    """Return the findings with a column `vendor`: the vendor of the record that represents the finding's subject."""
    parts = []
    tables = {"household": view.households, "person": view.persons, "deal": view.deals}
    for entity, known in tables.items():
        about = found.filter(pc.equal(found["subject_entity"], entity))
        place = pc.index_in(about["subject_id"], known[f"{entity}_id"].combine_chunks())
        parts.append(about.append_column("vendor", known["vendor"].take(place)))
    return pa.concat_tables(parts)


def _read(begin_reading: Within, vendor: str) -> tuple[PresentDay, Snapshot | None]:
    """Return a vendor's present day and its snapshot, read in one transaction.

    The snapshot is None if the day is not reconciled yet, or if the firm no longer uses the vendor.
    """
    with begin_reading() as connection:
        [day] = [day for day in find_present_days(connection) if day.vendor == vendor]
        return day, read_snapshot(connection, day) if day.is_compared and not day.is_unused else None
