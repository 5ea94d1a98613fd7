"""Incremental pulls between the daily runs: rows edited since the last daily pull, through the same steps.

Only tables with an edit time can be pulled this way: the vendor returns the rows whose edit time is after the last daily pull. The ledger
records such a pull as `pushed`. So it does not count as the day's pull, and the next daily pull requests these rows again.
"""

from __future__ import annotations

from include.contract import Table, Vendor
from include.control import ledger
from include.extract.exact_json import load
from include.extract.pull import Span
from include.extract.session import Request
from include.pipeline import pull, vendor_day
from include.pipeline.run import VendorRun


def edited_tables(vendor: Vendor) -> tuple[Table, ...]:
    """Return the tables that can be pulled by edit time."""
    return tuple(table for table in vendor.requested_tables if table.pull == "window")


def pull_edits(vendor_run: VendorRun) -> int:
    """Pull and load rows edited since the last daily pull.

    Returns:
        Number of new or changed canonical rows. A table without a daily pull so far is skipped.

    Raises:
        TributaryError: A step of `include.pipeline.vendor_day` failed.
    """
    site, vendor, changed = vendor_run.site, vendor_run.vendor, 0
    for table in edited_tables(vendor):
        since = ledger.find_last_window(site.engine, vendor.name, table.name, site.clock())
        if since is None:
            continue
        span = Span(vendor_run.run.business_date, edited_since=since, is_pushed=True)
        partition = vendor_day.stage_span(vendor_run, table.name, span)
        vendor_day.validate(vendor_run, [partition], rows_only=True)
        vendor_day.transform(vendor_run, partition)
        changed += sum(each.inserted + each.updated for each in vendor_day.load(vendor_run, partition).values())
    return changed


def republish(vendor_run: VendorRun) -> int:
    """Request redelivery of the webhooks that the vendor could not deliver; return their number.

    Without the redelivery, their changes would arrive only with the next poll.

    Raises:
        TributaryError: A request failed, with an error of `VendorSession.request`.
    """
    webhook = vendor_run.vendor.webhook
    assert webhook is not None
    redelivery = webhook.redelivery
    assert redelivery is not None

    def read_keys(body: bytes) -> list[str]:
        return sorted({str(each[redelivery.key]) for each in load(body).get(redelivery.failures) or ()})

    with pull.open_session(vendor_run, webhook.log) as session:
        failed = session.get(redelivery.failures_path, {}, read_keys)
        if failed:
            session.request(Request(redelivery.path, body={redelivery.keys: failed}, method="PUT"), bytes)
    return len(failed)
