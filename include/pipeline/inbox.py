"""Load webhook deliveries from the inbox into the warehouse, in small batches, through the same steps as pulled rows.

    the body contains the row         check against the contract, stage, transform, load
    the body contains only a key,     pull the rows of these keys from the vendor, then the same steps
    or only a part of the row

A delivery is marked as processed after all of it is in the warehouse. So a killed drain can be run again; it finds the rows that were
already loaded unchanged. A delivery that can't be loaded is marked as processed with its error, and does not block other deliveries. If
every delivery of a batch of two or more fails, the cause is probably on our side, and all of them stay pending. The vendor's timestamps
decide which state is newest, not the order of arrival.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from include.contract import Nested, Table, Vendor, Webhook
from include.control import inbox
from include.control.inbox import Pending
from include.errors import (
    AuthenticationError,
    BalanceError,
    ConfigurationError,
    DataQualityError,
    FatalError,
    RowsFailed,
    SchemaDrift,
)
from include.extract.conflict import separate
from include.extract.csv_page import CsvReader
from include.extract.exact_json import dump, load
from include.extract.fan_out import SEPARATOR
from include.extract.flatten import flatten_row
from include.extract.page import Page, PageReader
from include.extract.paging import Window, only_fresh
from include.extract.pull import Span, stage
from include.keys.inbox import Opener
from include.pipeline import plan, pull, vendor_day
from include.pipeline.run import VendorRun
from include.staging.partitions import FAULTS, Partition
from include.validation.event_dates import find_date_ranges, separate_dates

log = logging.getLogger(__name__)

BATCH = 500
BATCH_BYTES = 32 * 1024 * 1024
KEYS = 50
"""Maximum number of keys in one request to the vendor, so that they fit into a URL."""
KEY_LENGTH = 200
NO_KEY = "The body contains no key to look up at the vendor"

# Errors caused by the content of a delivery or by the vendor's data, not by our environment or credentials.
_UNFIT = (BalanceError, DataQualityError, SchemaDrift)


@dataclass
class _Batch:
    """Parsed deliveries.

    Attributes:
        rows: Table -> its rows, each as (inbox id, JSON).
        keys: Key to pull from the vendor -> ids of the deliveries that name it.
        errors: Inbox id -> error of the delivery; None if it has none.
    """

    rows: dict[str, list[tuple[int, bytes]]]
    keys: dict[str, list[int]] = field(default_factory=dict)
    errors: dict[int, str | None] = field(default_factory=dict)


def drain(vendor_run: VendorRun, *, budget_s: float = 240.0) -> int:
    """Load a vendor's pending deliveries into the warehouse.

    Args:
        vendor_run: The run of a vendor with a webhook.
        budget_s: Time limit in seconds: no batch begins after it, and the rest stays pending for the next run.

    Returns:
        Number of deliveries processed.

    Raises:
        RowsFailed: At least one delivery could not be loaded. All are marked as processed, the failed ones with their error.
        TributaryError: A step of `include.pipeline.vendor_day` failed; the batch stays pending.
    """
    engine, vendor = vendor_run.site.engine, vendor_run.vendor
    done, unfit, deadline = 0, 0, time.monotonic() + budget_s
    while time.monotonic() < deadline:
        deliveries = inbox.list_pending(engine, vendor.name, BATCH, BATCH_BYTES)
        if not deliveries:
            break
        refused = _settle(vendor_run, deliveries, deadline)
        if len(refused) == len(deliveries) > 1:
            raise next(iter(refused.values()))  # all failed, so they are not the cause: they stay pending
        inbox.settle(engine, {inbox_id: str(error) for inbox_id, error in refused.items()})
        unfit += len(refused)
        done += len(deliveries)
        log.info("%s: %s deliveries processed", vendor.name, done)
    if unfit:
        raise RowsFailed(
            f"{unfit} of {done} deliveries can't be loaded; see control.inbox.error for each reason", vendor=vendor.name
        )
    return done


def make_page_reader(vendor_run: VendorRun, table: Table, reader: PageReader) -> Callable[[bytes], Page]:
    """Return a function that parses a body into a page.

    Rows with the same key and different content, and rows with a date out of range, become dead rows.
    """
    ranges = find_date_ranges(vendor_run.vendor, table)
    anchors = {"business_date": vendor_run.run.business_date, "extracted_at": vendor_run.site.clock().date()}
    return lambda body: separate(separate_dates(reader.read(body), table, ranges, anchors), table)


def _settle(vendor_run: VendorRun, deliveries: Sequence[Pending], deadline: float) -> dict[int, FatalError]:
    """Load a batch and mark its deliveries as processed. If it fails, load each half separately, down to single deliveries.

    Returns:
        Inbox id -> error of each delivery that could not be loaded. These are still pending: the caller must mark them as processed.

    Raises:
        TributaryError: The environment, the vendor or the credentials failed; or a batch failed after the deadline.
    """
    engine, pending = vendor_run.site.engine, deliveries
    try:
        batch = _load_rows(vendor_run, deliveries)
        with_keys = {inbox_id for ids in batch.keys.values() for inbox_id in ids}
        # Mark these deliveries before the lookup. Otherwise, while the vendor is unavailable, each retry would load the same rows and
        # record the same dead letters again.
        inbox.settle(engine, {inbox_id: error for inbox_id, error in batch.errors.items() if inbox_id not in with_keys})
        pending = [each for each in deliveries if each.inbox_id in with_keys]
        inbox.settle(engine, _load_keys(vendor_run, batch))
    except _UNFIT as error:
        if len(pending) == 1:
            return {pending[0].inbox_id: error}
        if time.monotonic() > deadline:
            raise
        middle = len(pending) // 2
        first = _settle(vendor_run, pending[:middle], deadline)
        return first | _settle(vendor_run, pending[middle:], deadline)
    return {}


def _load_rows(vendor_run: VendorRun, deliveries: Sequence[Pending]) -> _Batch:
    """Parse deliveries and load the rows that they contain into the warehouse; return the batch with the error of each delivery."""
    assert vendor_run.vendor.webhook is not None
    batch = _parse(vendor_run.vendor, vendor_run.vendor.webhook, deliveries, vendor_run.site.keyring.inbox)
    for table, rows in batch.rows.items():
        if rows:
            partitions = [_stage(vendor_run, table, rows, batch.errors), *stage_nested(vendor_run, table)]
            for each in partitions:
                # Contract and dates were checked above. The suite is made for a whole day, and checks these rows in the day's own pull.
                each.write_faults(FAULTS.empty_table())
            load_all(vendor_run, partitions)
    return batch


def _load_keys(vendor_run: VendorRun, batch: _Batch) -> dict[int, str | None]:
    """Pull the rows of a batch's keys from the vendor and load them.

    Returns:
        Inbox id -> error of each delivery that contains a key; None for success. Empty if the batch has no keys.
    """
    if not batch.keys:
        return {}
    refused = _look_up(vendor_run, sorted(batch.keys))
    errors: dict[int, str | None] = {}
    for key, ids in batch.keys.items():
        error = f"{vendor_run.vendor.name}: lookup failed: {refused[key]}" if key in refused else None
        errors |= {inbox_id: error or batch.errors[inbox_id] for inbox_id in ids}
    return errors


def _parse(vendor: Vendor, webhook: Webhook, deliveries: Sequence[Pending], opener: Opener) -> _Batch:
    batch = _Batch({webhook.table: [], webhook.log: []})
    for each in deliveries:
        body = load(each.open(opener))
        receipt = {"@inbox_id": each.inbox_id, "@received_at": each.received_at.isoformat()}
        row = _pop(body, webhook.row) if webhook.row else None
        key = [part for part in (_find(body, fields) for fields in webhook.keys) if _is_key(part)]
        batch.rows[webhook.log].append(
            (each.inbox_id, dump([flatten_row(body, vendor.table(webhook.log).skipped) | receipt]))
        )
        batch.errors[each.inbox_id] = None
        if isinstance(row, dict) and all(row.get(name) is not None for name in webhook.required):
            batch.rows[webhook.table].append(
                (each.inbox_id, dump([flatten_row(row, vendor.table(webhook.table).skipped)]))
            )
        elif len(key) == len(webhook.keys):
            batch.keys.setdefault(SEPARATOR.join(key), []).append(each.inbox_id)
        else:
            batch.errors[each.inbox_id] = NO_KEY
    return batch


def _stage(
    vendor_run: VendorRun, table_name: str, rows: Sequence[tuple[int, bytes]], errors: dict[int, str | None]
) -> Partition:
    """Stage the rows of a table. If a delivery has a dead row, write the delivery's error to `errors`."""
    site, vendor = vendor_run.site, vendor_run.vendor
    table, started = vendor.table(table_name), time.perf_counter()
    reader: PageReader = CsvReader(table, site.redactor, vendor.sentinels, vendor.zone, vendor.name)
    read_page = make_page_reader(vendor_run, table, reader)

    def read() -> Iterator[Window]:
        for inbox_id, row in rows:
            [window] = only_fresh([read_page(row)], table.key)
            if dead := window.page.dead:
                others = f", and {len(dead) - 1} more of {window.fetched}" if window.fetched > 1 else ""
                errors[inbox_id] = f"{table_name}: {'; '.join(dead[0].reasons)}{others}"
            yield window

    span = Span(vendor_run.run.business_date, is_pushed=True, origin=vendor_run.run.origin)
    partition = stage(vendor, table, span, read(), reader, site.staging, site.clock())
    vendor_day.record_staged(vendor_run, partition, time.perf_counter() - started)
    return partition


def stage_nested(vendor_run: VendorRun, table_name: str, push: int | None = None) -> list[Partition]:
    """Stage the tables whose rows are nested in the rows of the given table, which was staged before. `push`: see `Span`."""
    span = Span(vendor_run.run.business_date, is_pushed=True, push=push)
    nested = [
        t.name for t in vendor_run.vendor.requested_tables if isinstance(t.shape, Nested) and t.parent == table_name
    ]
    return [vendor_day.stage_span(vendor_run, table, span) for table in nested]


def load_all(vendor_run: VendorRun, partitions: Sequence[Partition]) -> int:
    """Transform and load partitions that are not whole days, one after the other; return the number of superseded records."""
    superseded = 0
    for each in partitions:
        vendor_day.transform(vendor_run, each)
        superseded += sum(counts.superseded for counts in vendor_day.load(vendor_run, each).values())
    return superseded


def _look_up(vendor_run: VendorRun, keys: Sequence[str]) -> dict[str, FatalError]:
    """Pull the rows of keys from the vendor and load them; return the errors of the keys that the vendor refuses, by key.

    A webhook may contain a forged key, so a refused key is not an error of the run.

    Raises:
        FatalError: The vendor refuses our credentials, or its rows can't be loaded.
        RetriableError: A step of `include.pipeline.vendor_day` failed and may succeed later.
    """
    refused: dict[str, FatalError] = {}
    waiting = [tuple(keys[first : first + KEYS]) for first in range(0, len(keys), KEYS)]
    while waiting:
        some = waiting.pop()
        try:
            _load_selected(vendor_run.copy_with(keys=some, on_demand=True))
        except (AuthenticationError, ConfigurationError) as error:
            if len(some) == 1:
                refused[some[0]] = error
            else:
                waiting += [some[: len(some) // 2], some[len(some) // 2 :]]
    if len(refused) == len(keys):
        with pull.open_session(vendor_run) as session:
            session.get(
                vendor_run.vendor.requested_tables[0].path, {}, bytes
            )  # raises if the vendor refuses our credentials
    return refused


def _load_selected(vendor_run: VendorRun) -> None:
    """Pull and load the rows of the run's keys, with the share of the rate budget that is reserved for on-demand runs."""
    vendor, run = vendor_run.vendor, vendor_run.run
    keyed = plan.keep_keyed(vendor, [table.name for table in vendor.requested_tables])
    span = Span(run.business_date, selected=run.keys, is_pushed=True)
    tables = [table for stage in vendor.stages for table in stage if table in keyed]
    partitions = [vendor_day.stage_span(vendor_run, table, span) for table in tables]
    vendor_day.validate(vendor_run, partitions, rows_only=True)
    load_all(vendor_run, partitions)


def _pop(body: Any, fields: Sequence[str]) -> Any:
    """Remove the value at a path of a JSON body and return it; None if there is none."""
    *parents, last = fields
    parent = _find(body, parents)
    return parent.pop(last, None) if isinstance(parent, dict) else None


def _find(body: Any, fields: Sequence[str]) -> Any:
    for name in fields:
        body = body.get(name) if isinstance(body, Mapping) else None
    return body


def _is_key(part: Any) -> TypeGuard[str]:
    """Return whether a value is usable as a key in a request to the vendor."""
    return isinstance(part, str) and 0 < len(part) <= KEY_LENGTH and part.isprintable()
