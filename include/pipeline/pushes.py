"""Load pushed records from the inbox into the warehouse, through the same steps as pulled rows, and withdraw pushes.

A push that was received before a loaded pull of its table began is not loaded, because the pull's rows are newer. In a table that is pulled
by window, the rows' own times decide.

A push whose withdrawal has arrived is not loaded. If the push was loaded before, the withdrawal restores the versions that the push
replaced. Pushes and withdrawals are deliveries in the inbox. One task per vendor processes them, so no push is loaded after its withdrawal.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

from include.contract import Table, Vendor
from include.control import inbox
from include.control.inbox import Pending
from include.errors import BalanceError, DataQualityError, SchemaDrift, VendorUnavailable
from include.extract.flatten import flatten
from include.extract.paging import only_fresh
from include.extract.pull import Span, stage
from include.extract.pushed import MOST_REJECTED, expand
from include.extract.whole_rows import WholeRowReader
from include.pipeline import vendor_day
from include.pipeline.comparison import compare_changed_days
from include.pipeline.inbox import load_all, make_page_reader, stage_nested
from include.pipeline.run import VendorRun
from include.staging.partitions import Partition
from include.warehouse import withdrawal
from include.warehouse.load import find_superseding

PUSH, WITHDRAWAL = "push", "withdraw"
"""First part of the sender's name of pushed records, `push.<vendor>.<table>`, and of withdrawals, `withdraw.<vendor>.<table>`."""
WITHDRAWN = "Withdrawn before it was loaded"
SUPERSEDED = "A pull that began after the push was received is loaded already; push the rows again if they are newer"
NO_PUSH = "The inbox no longer has the push, so nothing was withdrawn"

_Outcome = dict[str, Any]


class _Result(NamedTuple):
    """The outcome of a delivery.

    Attributes:
        error: None if every row was processed.
        outcome: The numbers of rows; None if no row was loaded, because the push was withdrawn or failed as a whole.
        is_altered: Whether the body was altered in the inbox, and must be kept as evidence.
    """

    error: str | None
    outcome: _Outcome | None = None
    is_altered: bool = False


def vendor_of(sender: str) -> str:
    """Return the vendor's name in an inbox sender such as `push.<vendor>.<table>`; a sender of webhooks is returned unchanged."""
    words = sender.split(".")
    return words[1] if len(words) == 3 and words[0] in (PUSH, WITHDRAWAL) else sender


def drain(declared: Vendor, vendor_run: VendorRun) -> int:
    """Process the pushes and withdrawals for a vendor's tables, one delivery at a time.

    A delivery that can't be loaded is marked as processed with its error, and does not block the others. A day whose positions or account
    values changed is reconciled again at the end.

    Args:
        declared: The vendor's declaration without the connection's overrides: callers use its field names.
        vendor_run: The vendor's run.

    Returns:
        Number of deliveries processed. The inbox records the outcome of each delivery and of its rows.

    Raises:
        TributaryError: The database or staging is unavailable or invalid; the delivery stays pending.
    """
    engine, done = vendor_run.site.engine, 0
    for table in declared.requested_tables:
        for kind in (PUSH, WITHDRAWAL):
            while deliveries := inbox.list_pending(engine, f"{kind}.{declared.name}.{table.name}", 1, 1):
                [each] = deliveries
                result = (_load if kind == PUSH else _withdraw)(vendor_run, table, each)
                outcomes = {each.inbox_id: result.outcome} if result.outcome else None
                inbox.settle(engine, {each.inbox_id: result.error}, outcomes, keeps_bodies=result.is_altered)
                done += 1
    compare_changed_days(engine, vendor_run.vendor, vendor_run.run.run_id)
    return done


def _load(vendor_run: VendorRun, table: Table, push: Pending) -> _Result:
    """Load a push, unless it was withdrawn."""
    if inbox.is_withdrawn(vendor_run.site.engine, push.inbox_id):
        return _Result(WITHDRAWN)
    try:
        body = push.open(vendor_run.site.keyring.inbox)
    except DataQualityError as failure:
        return _Result(str(failure), is_altered=True)
    try:
        partition, outcome = _stage(vendor_run, table, push, body)
        if _is_superseded(vendor_run, partition):
            return _Result(SUPERSEDED)
        partitions = [partition, *stage_nested(vendor_run, table.name, push.inbox_id)]
        vendor_day.validate(vendor_run, partitions, rows_only=True)
        outcome = _with_refused(table, partition, outcome)
        outcome |= {"outdated": load_all(vendor_run, partitions)}
        return _Result(_describe(table, outcome), outcome)
    except (BalanceError, DataQualityError, SchemaDrift, VendorUnavailable) as failure:
        return _Result(str(failure))


def _withdraw(vendor_run: VendorRun, table: Table, request: Pending) -> _Result:
    """Withdraw the records of a push; the outcome has the numbers of records withdrawn, restored and superseded."""
    engine, run_id = vendor_run.site.engine, vendor_run.run.run_id
    found = inbox.find_withdrawn(engine, request.inbox_id)
    if found is None:
        return _Result(NO_PUSH)
    push, caller = found
    return _Result(None, withdrawal.withdraw(engine, vendor_run.vendor.name, table.name, push, run_id, caller))


def _stage(vendor_run: VendorRun, table: Table, push: Pending, body: bytes) -> tuple[Partition, _Outcome]:
    """Stage the rows of a push, given its opened body; return the partition and the outcome.

    The outcome contains `rows` and `dead`, the numbers of all rows and of dead rows, and `rejected`: the first dead rows, each with its
    index in the push (`row`) and its `reasons`.
    """
    started = time.perf_counter()
    site, vendor = vendor_run.site, vendor_run.vendor
    if table.has_objects:
        body = flatten(body, vendor.name, table.name, change=partial(expand, table), skipped=table.skipped)
    reader = WholeRowReader(table, site.redactor, vendor.sentinels, vendor.zone, vendor.name)
    [window] = only_fresh([make_page_reader(vendor_run, table, reader)(body)], table.key)
    run = vendor_run.run
    span = Span(run.business_date, is_pushed=True, push=push.inbox_id, origin=run.origin)
    # Not the current time: the push may have waited while a newer pull was loaded.
    requested_at = min(push.received_at, site.clock())
    partition = stage(vendor, table, span, iter([window]), reader, site.staging, requested_at)
    vendor_day.record_staged(vendor_run, partition, time.perf_counter() - started)
    dead = window.page.dead
    rejected = [{"row": row.place, "reasons": row.reasons} for row in dead[:MOST_REJECTED]]
    return partition, {"rows": window.fetched, "dead": len(dead), "rejected": rejected}


def _is_superseded(vendor_run: VendorRun, partition: Partition) -> bool:
    """Return whether a pull of the whole table that began later is loaded."""
    with vendor_run.site.engine.connect() as connection:
        return find_superseding(connection, vendor_run.vendor, vendor_run.pull_of(partition)) is not None


def _with_refused(table: Table, partition: Partition, outcome: _Outcome) -> _Outcome:
    """Add the rows that the suite rejected to the outcome of a push; return the new outcome.

    If the push contained duplicate rows, the index of a rejected row is unknown, and the row is only counted.
    """
    sources = {f"({col.name})": f"{col.source}: " for col in table.columns}
    faults = partition.faults.to_pylist()
    dead = {each["row"] for each in outcome["rejected"]}
    places = [row for row in range(outcome["rows"]) if row not in dead]
    if len(places) != partition.manifest.staged:  # duplicates were removed, so a row's place in the push is unknown
        places = []
    refused = [
        {
            "row": places[each["row_number"]],
            "reasons": [
                next((name for column, name in sources.items() if column in text), "") + text
                for text in each["expectations"]
            ],
        }
        for each in faults
        if each["row_number"] < len(places)
    ]
    rejected = sorted(outcome["rejected"] + refused, key=itemgetter("row"))[:MOST_REJECTED]
    return outcome | {"dead": outcome["dead"] + len(faults), "rejected": rejected}


def _describe(table: Table, outcome: Mapping[str, Any]) -> str | None:
    """Return a summary of a push's dead rows as one line; None if there are none."""
    if not outcome["dead"]:
        return None
    reasons = outcome["rejected"][0]["reasons"] if outcome["rejected"] else ["rejected by the suite"]
    return f"{table.name}: {'; '.join(reasons)}, and {outcome['dead'] - 1} more of {outcome['rows']}"
