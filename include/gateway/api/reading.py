"""Read the data of the API's responses: runs, pushes, freshness, findings, dead letters.

Lists are paged by key, so no item is skipped or repeated.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from include.contract import FanOut, Table, Vendor
from include.control import lateness
from include.gateway.api.fields import describe_fields
from include.gateway.api.records import describe_rejected
from include.gateway.api.scopes import Permission
from include.gateway.problem import Refusal
from include.operations.metrics import Sample, read_samples
from include.pipeline.plan import find_keyed
from include.vendors import VENDORS

_RUN_COLUMNS = "request_id as id, run_id, what, vendor, state, detail, requested_at, ended_at"
_RUN = sa.text(f"select {_RUN_COLUMNS}, params from control.request where request_id = :id")  # noqa: S608
_STEPS = sa.text("""
select stage, table_name as table, entity, business_date, fetched, staged, duplicate, dead, produced, inserted, updated, unchanged,
       superseded, recorded_at
from control.ledger where run_id = :run_id order by ledger_id limit 1000
""")
_PUSHED = sa.text("""
select p.event_id as id, p.sender, p.received_at, p.processed_at, p.error, p.outcome,
       w.received_at as withdrawal_requested_at, w.processed_at as withdrawn_at, w.outcome as withdrawal
from control.inbox p left join control.inbox w on w.event_id = p.event_id and w.sender like 'withdraw.%'
where p.event_id = :id and p.sender like 'push.%'
""")
_OPEN_LETTERS = sa.text("""
select count(*) from control.dead_letter
where vendor = :vendor and table_name = :table and business_date = :day and status = 'open'
  and (cast(:ids as bigint[]) is null or dead_letter_id = any(:ids))
""")
_FRESH = sa.text("""
select t.vendor, t.name, n.business_date, n.recorded_at, n.extracted_at, s.staged,
       exists (select from control.unused_vendor u where u.vendor = t.vendor) as is_unused
from unnest(cast(:vendors as text[]), cast(:names as text[]), cast(:stages as text[])) with ordinality as t(vendor, name, stage, place)
left join lateral (
    select business_date, recorded_at, extracted_at, pull_id from control.ledger l
    where l.vendor = t.vendor and l.table_name = t.name and l.stage = t.stage and l.pulled in ('current', 'historical')
    order by business_date desc, recorded_at desc limit 1
) n on true
left join control.ledger s on s.pull_id = n.pull_id and s.vendor = t.vendor and s.table_name = t.name
     and s.business_date = n.business_date and s.stage = 'stage' and s.entity = ''
order by t.place
""")

# Which rows a caller with limited scopes may see. A run belongs to all of its tables.
_OF_VENDOR = "vendor = any(:targets)"
_OF_TABLE = "(vendor = any(:targets) or vendor || '.' || table_name = any(:targets))"
_OF_RUN = """(vendor = any(:targets) or params ->> 'table' = any(:targets)
    or (select bool_and(vendor || '.' || name = any(:targets)) from jsonb_array_elements_text(params -> 'tables') name))"""

# The sort column, the query, the condition of limited scopes, and the filters of each list.
_LISTS = {
    "runs": (
        "number",
        f"select number as place, {_RUN_COLUMNS} from control.request",  # noqa: S608
        _OF_RUN,
        {
            "vendor": "vendor = :vendor",
            "state": "state = :state",
            "since": "greatest(requested_at, checked_at) >= :since",
        },
    ),
    "findings": (
        "finding_id",
        """select finding_id as place, finding_id as id, vendor, rule, subject_entity, subject_id, household_id, severity,
           cast(measure as text) as measure, details, business_date_opened, business_date_seen, business_date_closed, opened_at,
           changed_at, closed_at from control.finding""",
        _OF_VENDOR,
        {
            "vendor": "vendor = :vendor",
            "rule": "rule = :rule",
            "severity": "severity = :severity",
            "household_id": "household_id = :household_id",
            "state": "(closed_at is null) = (:state = 'open')",
            "since": "greatest(changed_at, closed_at) >= :since",
        },
    ),
    "dead-letters": (
        "dead_letter_id",
        """select dead_letter_id as place, dead_letter_id as id, run_id, vendor, table_name as table, business_date, stage,
           row_key as key, public_reasons as reasons, status, died_at, closed_at from control.dead_letter""",
        _OF_TABLE,
        {
            "vendor": "vendor = :vendor",
            "table": "table_name = :table",
            "business_date": "business_date = :business_date",
            "status": "status = :status",
            "since": "greatest(died_at, closed_at) >= :since",
        },
    ),
}


@contextmanager
def connect_read_only(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a read-only transaction with a statement timeout of 10 s."""
    with engine.begin() as connection:
        connection.execute(sa.text("set transaction read only"))
        connection.execute(sa.text("set local statement_timeout = '10s'"))
        yield connection


def read_page(
    engine: sa.Engine, name: str, permission: Permission, filters: Mapping[str, Any], limit: int, cursor: str | None
) -> dict[str, Any]:
    """Return one page of a list, the newest first.

    Args:
        engine: The database.
        name: Name of the list: `runs`, `findings` or `dead-letters`.
        permission: The caller's permission; the page has only items that it covers.
        filters: Values by filter; None means no filter.
        limit: Maximum number of items.
        cursor: `next` of the previous page; None for the first page.

    Returns:
        `items`, and `next`, the cursor of the next page; None on the last page.

    Raises:
        Refusal: 422, invalid cursor for this list; 403, a filter names a vendor or table that the caller may not see at all.
    """
    permission.check_filter(filters["vendor"], filters.get("table"))
    order, select, of_targets, known_filters = _LISTS[name]
    values = {key: value for key, value in filters.items() if value is not None}
    clauses = [known_filters[key] for key in values]
    if permission.targets is not None:
        values["targets"] = sorted(permission.targets)
        clauses.append(of_targets)
    if cursor is not None:
        values["after"] = _parse_cursor(name, cursor)
        clauses.append(f"{order} < :after")
    where = f"where {' and '.join(clauses)}" if clauses else ""
    statement = sa.text(f"{select} {where} order by {order} desc limit :limit")
    with connect_read_only(engine) as connection:
        rows = connection.execute(statement, values | {"limit": limit + 1}).mappings().all()
    is_last = len(rows) <= limit
    return {"items": rows[:limit], "next": None if is_last else _cursor(name, rows[limit - 1]["place"])}


def read_run(engine: sa.Engine, permission: Permission, request_id: UUID) -> dict[str, Any]:
    """Return a run or replay and its steps; raise `Refusal` (404) if there is none with this id, and 403 if the caller may not see it."""
    with connect_read_only(engine) as connection:
        row = connection.execute(_RUN, {"id": request_id}).mappings().first()
        if row is None:
            raise Refusal(404, "Run not found")
        run = dict(row)
        permission.check(run["vendor"], *_tables_of(run.pop("params")))
        steps = connection.execute(_STEPS, {"run_id": run["run_id"]}).mappings().all()
    return {**run, "steps": steps}


def _tables_of(params: Mapping[str, Any]) -> list[str]:
    """Return the tables for which a run or a replay was requested."""
    return [params["table"].partition(".")[2]] if "table" in params else params.get("tables", [])


def read_push(engine: sa.Engine, permission: Permission, push_id: UUID) -> dict[str, Any]:
    """Return a push and its outcome; raise `Refusal` (404) if there is none with this id, and 403 if the caller may not see it."""
    with connect_read_only(engine) as connection:
        push = connection.execute(_PUSHED, {"id": str(push_id)}).mappings().first()
    if push is None:
        raise Refusal(404, "Push not found")
    _, vendor, table = push["sender"].split(".")
    permission.check(vendor, table)
    outcome = push["outcome"] or {"rows": None, "dead": None, "rejected": []}
    rejected = [describe_rejected(each["row"], each["reasons"]) for each in outcome["rejected"]]
    result = {"vendor": vendor, "table": table, "rows": outcome["rows"], "dead": outcome["dead"], "rejected": rejected}
    result["outdated"] = outcome.get("outdated")
    result |= push["withdrawal"] or dict.fromkeys(("withdrawn", "restored", "superseded"))
    state = _push_state(push["processed_at"] is not None, push["error"], outcome)
    return {**push, **result, "state": "withdrawn" if push["withdrawn_at"] else state}


def _push_state(is_processed: bool, error: str | None, outcome: Mapping[str, Any]) -> str:
    if not is_processed:
        return "waiting"
    if not error:
        return "processed"
    return "partial" if outcome["rows"] and outcome["dead"] < outcome["rows"] else "error"


def read_freshness(engine: sa.Engine, now: datetime, permission: Permission) -> list[dict[str, Any]]:
    """Return the freshness of every declared table that the caller may see; `now` has a time zone."""
    tables = [
        (vendor, table, _last_stage(vendor, table))
        for vendor in VENDORS
        for table in vendor.requested_tables
        if permission.covers(vendor.name, table.name)
    ]
    values = {
        "vendors": [vendor.name for vendor, _, _ in tables],
        "names": [table.name for _, table, _ in tables],
        "stages": [stage for _, _, stage in tables],
    }
    with connect_read_only(engine) as connection:
        rows = connection.execute(_FRESH, values).all()
    items, due_of = [], {vendor.name: lateness.find_due(vendor, now) for vendor in VENDORS}
    for (vendor, _, stage), row in zip(tables, rows, strict=True):
        due = due_of[vendor.name]
        due_at = due.stages.get(stage)
        is_in = row.business_date is not None and row.business_date >= due.business_date
        item = {"vendor": row.vendor, "table": row.name, "stage": stage, "business_date": row.business_date}
        item |= {"recorded_at": row.recorded_at, "extracted_at": row.extracted_at, "rows": row.staged}
        is_late = due_at is not None and now >= due_at and not is_in and not row.is_unused
        items.append(item | {"due_date": due.business_date, "due_at": due_at, "is_late": is_late})
    return items


def read_metrics(engine: sa.Engine, now: datetime, permission: Permission) -> list[Sample]:
    """Return the metrics that the caller may see: all, or with a limited scope those of its vendors. `now` has a time zone."""
    vendors = [vendor for vendor in VENDORS if permission.covers(vendor.name)]
    with connect_read_only(engine) as connection:
        return read_samples(connection, vendors, now, is_whole=permission.targets is None)


def check_open(engine: sa.Engine, vendor: str, table: str, day: date, ids: Sequence[int]) -> None:
    """Raise `Refusal` (422) if the table has no open dead letters of the day, or if one of the ids is not among them."""
    values = {"vendor": vendor, "table": table, "day": day, "ids": list(ids) or None}
    with connect_read_only(engine) as connection:
        count = connection.scalar(_OPEN_LETTERS, values) or 0
    if not count or (ids and count < len(set(ids))):
        raise Refusal(422, "No such open dead letters for this table and business date; see listDeadLetters")


def list_vendors(permission: Permission) -> list[dict[str, Any]]:
    """Return the declared vendors and their tables, those that the caller may see."""
    vendors = []
    for vendor in VENDORS:
        tables = [table for table in vendor.requested_tables if permission.covers(vendor.name, table.name)]
        if tables:
            summaries = [_summarize(vendor, table) for table in tables]
            vendors.append({"name": vendor.name, "title": vendor.title, "tables": summaries})
    return vendors


def describe_table(vendor: Vendor, table: Table) -> dict[str, Any]:
    """Return a declared table and its fields."""
    return {"vendor": vendor.name, **_summarize(vendor, table), "fields": describe_fields(vendor, table)}


def _summarize(vendor: Vendor, table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "is_pushable": is_pushable(vendor, table),
        "states_past": table.states_past,
        "takes_clients": table.name in find_keyed(vendor),
        "key_fields": key_fields(table) if is_pushable(vendor, table) else [],
    }


def is_pushable(vendor: Vendor, table: Table) -> bool:
    """Return whether callers can push a table's rows. They can't in two cases:

    - The table is requested per row of a parent table, because a row is then incomplete without the parent row.
    - Several rows add up to one canonical row, because some of them would replace the sum of all.
    """
    is_summed = any(each.summed for each in vendor.maps if each.table == table.name)
    return not isinstance(table.shape, FanOut) and not table.parent and not is_summed


def key_fields(table: Table) -> list[str]:
    """Return the vendor's names for the fields of a table's key."""
    return [table.named(name).source for name in table.key]


def _last_stage(vendor: Vendor, table: Table) -> str:
    return "load" if any(entity_map.table == table.name for entity_map in vendor.maps) else "stage"


def _cursor(name: str, place: int) -> str:
    return base64.urlsafe_b64encode(f"{name}:{place}".encode()).decode().rstrip("=")


def _parse_cursor(name: str, cursor: str) -> int:
    try:
        list_name, _, place = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().partition(":")
        if list_name == name and place.isascii() and place.isdigit() and len(place) < 19:
            return int(place)
    except (binascii.Error, ValueError):
        pass
    raise Refusal(422, "Invalid cursor for this list")
