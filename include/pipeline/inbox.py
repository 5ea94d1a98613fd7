"""The inbox into the warehouse: what webhooks brought, in small batches, by the same way as what is asked for.

    body --row--> contract -> staging -> transform -> load          the row is in the body
    body --key--> the vendor is asked for these keys, the same way  the body only says of what there is news

A delivery is marked as processed when everything of it is in the warehouse: killed at any point, a drain can be run
again, and what was loaded is then unchanged. One whose content can't be loaded is marked, too, with why, and holds nobody up; where
none of several can be, the fault is ours, and all wait. Which state is the newest is told by the vendor's time, never by who
came first.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from operator import itemgetter
from typing import Any, TypeGuard

from include.connection import Connection
from include.contract import Inside, Table, Vendor, Webhook
from include.contract.overrides import apply_overrides
from include.control import inbox
from include.control.inbox import Waiting
from include.errors import (
    AuthenticationError,
    BalanceError,
    ConfigurationError,
    DataQualityError,
    FatalError,
    RowsFailed,
    SchemaDrift,
    VendorUnavailable,
)
from include.extract.conflict import separate
from include.extract.csv_page import CsvReader
from include.extract.exact_json import dump, load
from include.extract.fan_out import SEPARATOR
from include.extract.flatten import flatten, flatten_row
from include.extract.page import Page, PageReader
from include.extract.paging import Window, only_fresh
from include.extract.pull import Span, stage
from include.extract.pushed import MOST_REJECTED, expand
from include.extract.whole_rows import WholeRowReader
from include.pipeline import plan, pull, vendor_day
from include.pipeline.run import Run, Site
from include.staging.rows import FAULTS, read_faults, write_faults
from include.validation.event_dates import find_date_ranges, separate_dates

log = logging.getLogger(__name__)

BATCH = 500
BATCH_BYTES = 32 * 1024 * 1024
PUSH = "push"
"""First word of the senders whose deliveries are rows that callers pushed."""
KEYS = 50
"""Asked for at once: so many still fit into an address."""
KEY_LENGTH = 200
NO_KEY = "The body names nothing that the vendor could be asked for"

# What a delivery holds, or what the vendor says of it, is at fault, and not where we run nor who we are.
_UNFIT = (BalanceError, DataQualityError, SchemaDrift)


@dataclass
class _Batch:
    """What was read of some deliveries: rows as JSON by table, keys to ask for and who named them, what each delivery came to."""

    rows: dict[str, list[tuple[int, bytes]]]
    keys: dict[str, list[int]] = field(default_factory=dict)
    errors: dict[int, str | None] = field(default_factory=dict)


def drain(site: Site, vendor: Vendor, connection: Connection, run: Run, *, budget_s: float = 240.0) -> int:
    """Brings the waiting deliveries of a vendor into the warehouse.

    Args:
        site: Where the firm runs.
        vendor: The declaration; one with a webhook.
        connection: Address and credentials, for deliveries that only name a key.
        run: Named in the ledger.
        budget_s: No batch is begun after so many seconds; what is left waits for the next run.

    Returns:
        How many deliveries were processed.

    Raises:
        RowsFailed: Some hold what can't be loaded, where others could be. All were processed, these with why.
        TributaryError: As the steps of `include.pipeline.vendor_day` raise; the batch waits on.
    """
    vendor = apply_overrides(vendor, connection.extra)
    done, unfit, deadline = 0, 0, time.monotonic() + budget_s
    while time.monotonic() < deadline:
        deliveries = inbox.waiting(site.engine, vendor.name, BATCH, BATCH_BYTES)
        if not deliveries:
            break
        refused = _settle(site, vendor, connection, run, deliveries, deadline)
        if len(refused) == len(deliveries) > 1:
            raise next(iter(refused.values()))  # it is not they: nothing can be loaded now, and all of them wait
        inbox.settle(site.engine, {inbox_id: str(error) for inbox_id, error in refused.items()})
        unfit += len(refused)
        done += len(deliveries)
        log.info("%s: %s deliveries processed", vendor.name, done)
    if unfit:
        raise RowsFailed(
            f"{unfit} of {done} deliveries can't be loaded; control.inbox tells why of each", vendor=vendor.name
        )
    return done


def vendor_of(sender: str) -> str:
    """The vendor whose deliveries a sender's are."""
    words = sender.split(".")
    return words[1] if len(words) == 3 and words[0] == PUSH else sender


def drain_pushes(site: Site, declared: Vendor, connection: Connection, run: Run) -> int:
    """Brings in the rows that callers pushed for a vendor's tables, each delivery by itself: one that is refused stops no other.

    Args:
        site: Where the firm runs.
        declared: The declaration; a sender is called `push.<vendor>.<table>`. Callers name fields as it does, whatever names the
            connection gives them.
        connection: For tables whose rows come inside those.
        run: Named in the ledger.

    Returns:
        How many deliveries were processed; the outcome of each, and of its rows, is recorded with it.

    Raises:
        TributaryError: Database or staging is away, or not as it must be; the delivery waits on.
    """
    vendor, done = apply_overrides(declared, connection.extra), 0
    for table in declared.asked:
        while deliveries := inbox.waiting(site.engine, f"{PUSH}.{vendor.name}.{table.name}", 1, 1):
            [each] = deliveries
            error, outcome = None, None
            try:
                path, outcome = _stage_push(site, vendor, table, each.body, run)
                paths = [path, *_stage_inside(site, vendor, table.name, connection, run)]
                vendor_day.validate(site, vendor, _by_table(paths), run, rows_only=True)
                outcome = _with_refused(site, table, path, outcome)
                _load(site, vendor, paths, run)
                error = _describe(table, outcome)
            except (*_UNFIT, VendorUnavailable) as failure:
                error, outcome = str(failure), None
            inbox.settle(site.engine, {each.inbox_id: error}, {each.inbox_id: outcome} if outcome else None)
            done += 1
    return done


def _stage_push(site: Site, vendor: Vendor, table: Table, body: bytes, run: Run) -> tuple[str, dict[str, Any]]:
    """Stage pushed rows; returns the partition's path, and the outcome of the rows: `{"rows", "dead", "rejected"}`."""
    started = time.perf_counter()
    if table.is_nested:
        body = flatten(body, vendor.name, table.name, change=partial(expand, table), skipped=table.skipped)
    reader = WholeRowReader(table, site.redactor, vendor.sentinels, vendor.zone, vendor.name)
    [window] = only_fresh([_reading(site, vendor, table, reader, run)(body)], table.key)
    span = Span(run.business_date, is_pushed=True, has_whole_rows=True)
    path = stage(vendor, table, span, iter([window]), reader, site.staging, site.clock())
    vendor_day.record_staged(site, vendor, path, run, time.perf_counter() - started)
    dead = window.page.dead
    rejected = [{"row": row.place, "reasons": row.reasons} for row in dead[:MOST_REJECTED]]
    return path, {"rows": window.fetched, "dead": len(dead), "rejected": rejected}


def _with_refused(site: Site, table: Table, path: str, outcome: dict[str, Any]) -> dict[str, Any]:
    """Add the rows that the suite rejects to the outcome of a push."""
    sources = {f"({col.name})": f"{col.source}: " for col in table.columns}
    faults = read_faults(site.staging, path).to_pylist()
    dead = {each["row"] for each in outcome["rejected"]}
    places = [row for row in range(outcome["rows"]) if row not in dead]
    if len(places) != site.staging.manifest(path).staged:  # a row that came twice was left out: places are not known
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


def _reading(site: Site, vendor: Vendor, table: Table, reader: PageReader, run: Run) -> Callable[[bytes], Page]:
    """Reads bodies of rows; of each, rows that share a key and differ, or whose dates can't be, are dead."""
    ranges = find_date_ranges(vendor, table)
    anchors = {"business_date": run.business_date, "extracted_at": site.clock().date()}
    return lambda body: separate(separate_dates(reader.read(body), table, ranges, anchors), table)


def _describe(table: Table, outcome: Mapping[str, Any]) -> str | None:
    """Return which rows of a push are dead letters; None where none is."""
    if not outcome["dead"]:
        return None
    reasons = outcome["rejected"][0]["reasons"] if outcome["rejected"] else ["rejected by the suite"]
    return f"{table.name}: {'; '.join(reasons)}, and {outcome['dead'] - 1} more of {outcome['rows']}"


def _settle(
    site: Site,
    vendor: Vendor,
    connection: Connection,
    run: Run,
    deliveries: Sequence[Waiting],
    deadline: float,
) -> dict[int, FatalError]:
    """Brings in a batch, or else each half of it, until what can't be loaded stands alone: returns that, which waits on."""
    pending = deliveries
    try:
        batch = _bring_in_rows(site, vendor, connection, run, deliveries)
        asking = {inbox_id for ids in batch.keys.values() for inbox_id in ids}
        # Before the vendor is asked: while it is away, the same rows would become dead letters again at each try.
        inbox.settle(site.engine, {inbox_id: why for inbox_id, why in batch.errors.items() if inbox_id not in asking})
        pending = [each for each in deliveries if each.inbox_id in asking]
        inbox.settle(site.engine, _bring_in_keys(site, vendor, connection, run, batch))
    except _UNFIT as error:
        if len(pending) == 1:
            return {pending[0].inbox_id: error}
        if time.monotonic() > deadline:
            raise
        middle = len(pending) // 2
        first = _settle(site, vendor, connection, run, pending[:middle], deadline)
        return first | _settle(site, vendor, connection, run, pending[middle:], deadline)
    return {}


def _bring_in_rows(
    site: Site, vendor: Vendor, connection: Connection, run: Run, deliveries: Sequence[Waiting]
) -> _Batch:
    """Brings the rows of a batch into the warehouse; returns what it holds, with why which delivery came to nothing."""
    assert vendor.webhook is not None
    batch = _read(vendor, vendor.webhook, deliveries)
    for table, rows in batch.rows.items():
        if rows:
            paths = [_stage(site, vendor, table, rows, run, batch.errors)]
            paths += _stage_inside(site, vendor, table, connection, run)
            _publish(site, vendor, paths, run)
    return batch


def _bring_in_keys(
    site: Site, vendor: Vendor, connection: Connection, run: Run, batch: _Batch
) -> dict[int, str | None]:
    """Fetch what a batch only names; returns the error of each delivery, None where it succeeded."""
    if not batch.keys:
        return {}
    refused = _ask(site, vendor, connection, run, sorted(batch.keys))
    errors: dict[int, str | None] = {}
    for key, ids in batch.keys.items():
        why = f"{vendor.name}: lookup failed: {refused[key]}" if key in refused else None
        errors |= {inbox_id: why or batch.errors[inbox_id] for inbox_id in ids}
    return errors


def _read(vendor: Vendor, webhook: Webhook, deliveries: Sequence[Waiting]) -> _Batch:
    batch = _Batch({webhook.table: [], webhook.log: []})
    for each in deliveries:
        body = load(each.body)
        told = {"@inbox_id": each.inbox_id, "@received_at": each.received_at.isoformat()}
        row = _take(body, webhook.row) if webhook.row else None
        key = [part for part in (_find(body, fields) for fields in webhook.keys) if _is_key(part)]
        batch.rows[webhook.log].append(
            (each.inbox_id, dump([flatten_row(body, vendor.table(webhook.log).skipped) | told]))
        )
        batch.errors[each.inbox_id] = None
        if isinstance(row, dict):
            batch.rows[webhook.table].append(
                (each.inbox_id, dump([flatten_row(row, vendor.table(webhook.table).skipped)]))
            )
        elif len(key) == len(webhook.keys):
            batch.keys.setdefault(SEPARATOR.join(key), []).append(each.inbox_id)
        else:
            batch.errors[each.inbox_id] = NO_KEY
    return batch


def _stage(
    site: Site,
    vendor: Vendor,
    table_name: str,
    rows: Sequence[tuple[int, bytes]],
    run: Run,
    errors: dict[int, str | None],
) -> str:
    """Stages rows, each read by itself: so that it is known of which delivery one was that died."""
    table, started = vendor.table(table_name), time.perf_counter()
    reader: PageReader = CsvReader(table, site.redactor, vendor.sentinels, vendor.zone, vendor.name)
    read_page = _reading(site, vendor, table, reader, run)

    def read() -> Iterator[Window]:
        for inbox_id, row in rows:
            [window] = only_fresh([read_page(row)], table.key)
            if dead := window.page.dead:
                told = f", and {len(dead) - 1} more of {window.fetched}" if window.fetched > 1 else ""
                errors[inbox_id] = f"{table_name}: {'; '.join(dead[0].reasons)}{told}"
            yield window

    span = Span(run.business_date, is_pushed=True)
    path = stage(vendor, table, span, read(), reader, site.staging, site.clock())
    vendor_day.record_staged(site, vendor, path, run, time.perf_counter() - started)
    return path


def _stage_inside(site: Site, vendor: Vendor, table_name: str, connection: Connection, run: Run) -> list[str]:
    """Stages the tables whose rows came inside those."""
    span = Span(run.business_date, is_pushed=True)
    inside = [t.name for t in vendor.asked if isinstance(t.shape, Inside) and t.over == table_name]
    return [_fetch(site, vendor, table, connection, run, span) for table in inside]


def _publish(site: Site, vendor: Vendor, paths: Sequence[str], run: Run) -> None:
    for path in paths:
        # Contract and dates were checked. Other expectations are about a day: they look at these rows when the vendor is asked for it.
        write_faults(site.staging, path, FAULTS.empty_table())
    _load(site, vendor, paths, run)


def _load(site: Site, vendor: Vendor, paths: Sequence[str], run: Run) -> None:
    for path in paths:
        vendor_day.transform(site, vendor, path, run)
        vendor_day.load(site, vendor, path, run)


def _by_table(paths: Sequence[str]) -> dict[str, str]:
    return {path.split("/")[1]: path for path in paths}


def _ask(site: Site, vendor: Vendor, connection: Connection, run: Run, keys: Sequence[str]) -> dict[str, FatalError]:
    """Asks the vendor for what deliveries only named; returns the keys that it refuses, which anybody may have made up.

    Raises:
        FatalError: It refuses whatever we ask, or what it answers can't be loaded.
        RetriableError: As the steps of `include.pipeline.vendor_day` raise.
    """
    refused: dict[str, FatalError] = {}
    waiting = [tuple(keys[first : first + KEYS]) for first in range(0, len(keys), KEYS)]
    while waiting:
        some = waiting.pop()
        try:
            _bring(site, vendor, connection, replace(run, keys=some, on_demand=True))
        except (AuthenticationError, ConfigurationError) as error:
            if len(some) == 1:
                refused[some[0]] = error
            else:
                waiting += [some[: len(some) // 2], some[len(some) // 2 :]]
    if len(refused) == len(keys):
        with pull.open_session(site, vendor, connection, run) as session:
            session.get(vendor.asked[0].path, {}, bytes)  # raises where it is us whom it refuses
    return refused


def _bring(site: Site, vendor: Vendor, connection: Connection, run: Run) -> None:
    """Asks for some keys, on the reserved share of the vendor's budget: somebody waits."""
    keyed = plan.keep_keyed(vendor, [table.name for table in vendor.asked])
    span = Span(run.business_date, chosen=run.keys, is_pushed=True)
    wanted = [table for wave in vendor.waves for table in wave if table in keyed]
    paths = [_fetch(site, vendor, table, connection, run, span) for table in wanted]
    vendor_day.validate(site, vendor, _by_table(paths), run, rows_only=True)
    _load(site, vendor, paths, run)


def _fetch(site: Site, vendor: Vendor, table_name: str, connection: Connection, run: Run, span: Span) -> str:
    started = time.perf_counter()
    path = pull.fetch(site, vendor, table_name, connection, run, span)
    vendor_day.record_staged(site, vendor, path, run, time.perf_counter() - started)
    return path


def _take(body: Any, fields: Sequence[str]) -> Any:
    """Takes what is at the end of the path out of the body; None where there is nothing."""
    *way, last = fields
    holder = _find(body, way)
    return holder.pop(last, None) if isinstance(holder, dict) else None


def _find(body: Any, fields: Sequence[str]) -> Any:
    for name in fields:
        body = body.get(name) if isinstance(body, Mapping) else None
    return body


def _is_key(part: Any) -> TypeGuard[str]:
    """Whether a vendor may be asked for it."""
    return isinstance(part, str) and 0 < len(part) <= KEY_LENGTH and part.isprintable()
