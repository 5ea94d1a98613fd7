"""Between the daily runs: what was edited meanwhile, a few minutes old at most, by the same way and never in its way.

Only tables that know when a row was edited can be asked so. What comes is newer than the last daily pull, by the vendor's own time of
the edit, or as old as what is there; the ledger calls such a pull `pushed`, so that it neither counts as the day's nor moves the
window of the next daily one, which asks for all of it again.
"""

from __future__ import annotations

import time

from include.connection import Connection
from include.contract import Table, Vendor
from include.control import ledger
from include.extract.exact_json import load
from include.extract.pull import Span
from include.extract.session import Request
from include.pipeline import pull, vendor_day
from include.pipeline.run import Run, Site


def edited_tables(vendor: Vendor) -> tuple[Table, ...]:
    """Tables of which the vendor says what was edited."""
    return tuple(table for table in vendor.asked if table.pull == "window")


def look_for_edits(site: Site, vendor: Vendor, connection: Connection, run: Run) -> int:
    """Brings in what was edited since the last daily pull.

    Args:
        site: Where the firm runs.
        vendor: The declaration.
        connection: Address and credentials.
        run: Named in the ledger.

    Returns:
        How many canonical rows are new or changed; 0 also before the first daily pull, which asks for everything.

    Raises:
        TributaryError: As the steps of `include.pipeline.vendor_day` raise.
    """
    changed = 0
    for table in edited_tables(vendor):
        since = ledger.last_window(site.engine, vendor.name, table.name, site.clock())
        if since is None:
            continue
        started = time.perf_counter()
        span = Span(run.business_date, edited_since=since, is_pushed=True)
        path = pull.fetch(site, vendor, table.name, connection, run, span)
        vendor_day.record_staged(site, vendor, path, run, time.perf_counter() - started)
        vendor_day.validate(site, vendor, {table.name: path}, run, rows_only=True)
        vendor_day.transform(site, vendor, path, run)
        changed += sum(counts.inserted + counts.updated for counts in vendor_day.load(site, vendor, path, run).values())
    return changed


def republish(site: Site, vendor: Vendor, connection: Connection, run: Run) -> int:
    """Has the vendor send again what it could not deliver; returns how many. The poll would find it, too, and later.

    Raises:
        TributaryError: As `VendorSession.request` raises.
    """
    webhook = vendor.webhook
    assert webhook is not None
    with pull.open_session(site, vendor, connection, run, webhook.log) as session:
        failed = session.get(webhook.failures, {}, _failed_keys)
        if failed:
            session.request(Request(webhook.retry, body={"envelopeIds": failed}, method="PUT"), bytes)
    return len(failed)


def _failed_keys(body: bytes) -> list[str]:
    return sorted({str(each["envelopeId"]) for each in load(body).get("failures") or ()})
