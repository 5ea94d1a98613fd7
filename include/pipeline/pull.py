"""Pull one vendor table for a run, within the rate budget and with the firm's grants. A new attempt resumes where the last one stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta

import requests

from include import business_dates, canonical
from include.contract import FanOut, Table
from include.contract.overrides import ignores_clock
from include.control import ledger
from include.control.answers import Answers
from include.control.budget import RateBudget
from include.control.cache import Cache
from include.control.calls import CallLog
from include.control.clocks import Clocks
from include.control.grants import Grants
from include.errors import ConfigurationError
from include.extract.closed import read_closed_day
from include.extract.fan_out import list_keys
from include.extract.pull import Keep, Span, pull
from include.extract.session import PATIENCE_S, VendorSession
from include.extract.shapes import most_rows
from include.extract.source import Keys, Source
from include.pipeline.run import Run, Site, VendorRun
from include.staging.partitions import Partition
from include.warehouse.fact import find_final_keys


def span_of(site: Site, run: Run, edited_since: datetime | None) -> Span:
    """Return the span that a run requests from a table: its days, edit time and clients.

    Only this function decides whether the business date is past. Later steps read it from the partition's manifest.

    Args:
        site: The firm's environment.
        run: The run.
        edited_since: For a table that is pulled by edit window: request rows edited since this time. None requests all rows.
    """
    is_past = business_dates.is_past(run.business_date, site.clock())
    first = run.previous_date + timedelta(days=1)
    return Span(run.business_date, is_past, first, edited_since, selected=run.keys)


def fetch(vendor_run: VendorRun, table_name: str, span: Span, keep: Keep = lambda windows: windows) -> Partition:
    """Pull one table into staging and record nothing in the ledger.

    Args:
        vendor_run: The vendor's run.
        table_name: The table to pull.
        span: The span to request, from `span_of`.
        keep: Filters the windows of rows as they are read; by default, all rows are kept.

    Raises:
        TributaryError: Any error of `extract.pull.pull`.
    """
    site, vendor, run = vendor_run.site, vendor_run.vendor, vendor_run.run
    table = vendor.table(table_name)
    # Another DAG may have a run of the same id, so the responses of pushed pulls are stored apart.
    stored_by = f"{run.run_id} (pushed)" if span.is_pushed else run.run_id
    answers = Answers(site.engine, stored_by, vendor.name, table_name, site.keyring.staging, table.hash, site.clock)
    parent = vendor_run.open_staged(table.parent, is_pushed=span.is_pushed) if table.parent else None
    if span.is_pushed:
        answers.forget()  # responses stored by an earlier attempt may be stale
    keys = _find_keys(vendor_run, table, parent)
    is_routine = not (span.is_pushed or run.keys or run.full_refresh)
    span = replace(span, origin=run.origin)
    most = most_rows(vendor.limits.rows, ledger.find_most_fetched(site.engine, vendor.name, table_name))
    source = Source(keys, parent, answers, site.redactor, site.clock, site.speed, is_routine, most)
    with open_session(vendor_run, table_name) as session:
        # The data of a resumed fan-out is dated by its oldest stored response.
        partition = pull(vendor, table, span, session, site.staging, site.redactor, answers.find_start(), source, keep)
    if isinstance(table.shape, FanOut):
        answers.forget()
    return partition


def open_session(
    vendor_run: VendorRun,
    table_name: str = "",
    *,
    patience_s: float = PATIENCE_S,
    must_log_in: bool = False,
    observe: Callable[[requests.Response], None] | None = None,
) -> VendorSession:
    """Open a session that respects the firm's rate budget for the vendor and records its calls.

    Args:
        vendor_run: The vendor's run.
        table_name: The table that the calls are for; empty for none.
        patience_s: Seconds for which one request is retried.
        must_log_in: Whether to log in even if another session has stored a token.
        observe: Receives every response, in place of the check of our clocks; None for none.
    """
    site, vendor, connection, run = vendor_run.site, vendor_run.vendor, vendor_run.connection, vendor_run.run
    budget = RateBudget(site.engine, vendor.name, vendor.budget, on_demand=run.on_demand, speed=site.speed)
    calls = CallLog(site.engine, vendor.name, table_name, run.run_id)
    grants = Grants.of(site.engine, vendor.name, site.keyring.sealer, connection.extra)
    is_vendor_trusted = not ignores_clock(connection.extra)
    clocks = None if observe else Clocks(site.engine, site.machine_clock, is_vendor_trusted=is_vendor_trusted)
    cache = None if must_log_in else Cache(site.engine, site.keyring.sealer, site.redis_url)
    return VendorSession(
        vendor, connection, budget, calls, grants, patience_s=patience_s, clocks=clocks, cache=cache, observe=observe
    )


def request_closed_day(vendor_run: VendorRun) -> date | None:
    """Request the last day that the vendor has closed; see `read_closed_day`.

    Returns:
        The day. None if the vendor has no accounts, or if an account that must have a closed day has none.

    Raises:
        ConfigurationError: The vendor's declaration has no `closed` request, or the vendor rejects the request.
        AuthenticationError: The vendor refused the credentials.
        VendorUnavailable, RateLimited: The request still failed after retries, or the response has no valid date.
        LimitExceeded, ClockSkew: See `VendorSession.request`.
    """
    with open_session(vendor_run) as session:
        return read_closed_day(vendor_run.vendor, session)


def _find_keys(vendor_run: VendorRun, table: Table, parent_rows: Partition | None) -> list[Keys]:
    """Return the keys that a fan-out table requests, one request each; empty for other tables.

    Rows that are in a final state in the warehouse are not requested again, unless the run selects clients or is a full refresh.
    """
    if not isinstance(table.shape, FanOut):
        return []
    if not table.parent:
        return list_grants(vendor_run)
    vendor, run = vendor_run.vendor, vendor_run.run
    parent, shape = vendor.table(table.parent), table.shape
    keys = list_keys(table, shape, parent, parent_rows, run.keys, is_keyed=vendor.is_keyed(parent))
    if not shape.final or run.keys or run.full_refresh:
        return keys
    ended = find_final_keys(vendor_run.site.engine, vendor.name, canonical.named(shape.final))
    ended -= _find_open(parent, shape, parent_rows)
    return [each for each in keys if each[parent.key[0]] not in ended]


def list_grants(vendor_run: VendorRun) -> list[Keys]:
    """Return the grants of a vendor's connection as keys of a fan-out, one request each.

    Raises:
        ConfigurationError: The connection has no grants.
    """
    site, name = vendor_run.site, vendor_run.vendor.name
    grants = Grants.of(site.engine, name, site.keyring.sealer, vendor_run.connection.extra)
    if not grants.firsts:
        raise ConfigurationError("The vendor's connection has no grants", vendor=name)
    return [{"grant": name} for name in sorted(grants.firsts)]


def _find_open(parent: Table, shape: FanOut, parent_rows: Partition | None) -> set[str]:
    """Return the keys of parent rows whose status, as just pulled, is not final.

    They are requested even if the warehouse has a final state for them (see `FanOut.ended`).
    """
    column, words = shape.ended
    if not column or parent_rows is None:
        return set()
    key = parent.key[0]
    rows = (row for _, part in parent_rows.rows([key, column]) for row in part.to_pylist())
    return {row[key] for row in rows if row[column] not in words}
