"""Plan a vendor's run: choose and check its business date and tables before anything is pulled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypedDict

from include import business_dates
from include.contract import FanOut, Vendor
from include.errors import InputRejected


class Plan(TypedDict):
    """A planned run in JSON types, so that tasks can pass it on; dates are text.

    Attributes:
        tables: Names of the tables to pull, in the vendor's order.
        left_out: Name of each selected table that is not pulled -> the reason.
        is_past: Whether the business date is past (see `include.business_dates.is_past`).

    The other fields have the meaning of the same fields of `include.pipeline.run.Run`.
    """

    business_date: str
    previous_date: str
    is_past: bool
    tables: list[str]
    left_out: dict[str, str]
    full_refresh: bool
    on_demand: bool
    keys: list[str]
    accept_unusual: bool
    user: str


def plan_day(
    vendor: Vendor,
    params: Mapping[str, Any],
    interval_end: datetime | None,
    now: datetime | None = None,
    *,
    is_backfill: bool = False,
    user: str = "",
) -> Plan:
    """Plan a run.

    Args:
        vendor: The declaration.
        params: Params of the DAG run: `business_date` (text or None), `tables`, `keys` (of clients; empty for all), `full_refresh`,
            `on_demand` and `accept_unusual`.
        interval_end: End of the data interval; None (a manual run) means now.
        now: Current time with a time zone; None for the wall clock.
        is_backfill: Whether the run belongs to a backfill, in which each run has its own day.
        user: The user who started the run; empty if unknown.

    Raises:
        InputRejected: The run is not possible with this day, these tables or these clients; the message suggests valid values.
    """
    requested = params["business_date"]
    if requested and is_backfill:
        raise InputRejected(
            "Each run of a backfill has its own business date: start the backfill again without Business date"
            f" ({requested}), which would apply to all runs"
        )
    day = (
        business_dates.parse_business_date(requested, now)
        if requested
        else business_dates.business_date(interval_end or now)
    )
    is_past = business_dates.is_past(day, now)
    keys = [str(key) for key in params.get("keys") or []]
    tables = choose_tables(vendor, params["tables"], is_past=is_past)
    pulled = keep_keyed(vendor, tables) if keys else tables
    return {
        "business_date": day.isoformat(),
        "previous_date": business_dates.previous(day).isoformat(),
        "is_past": is_past,
        "tables": pulled,
        "left_out": {
            name: _describe_reason(vendor, day, name in tables) for name in params["tables"] if name not in pulled
        },
        "full_refresh": params["full_refresh"],
        "on_demand": bool(keys) or params["on_demand"],
        "keys": keys,
        "accept_unusual": bool(params.get("accept_unusual")),
        "user": user,
    }


def _describe_reason(vendor: Vendor, day: date, is_stated: bool) -> str:
    """Return why a selected table is not pulled. `is_stated`: the vendor can return it for the day, but not for single clients."""
    if is_stated:
        return f"{vendor.title} can't return it for single {find_key_table(vendor)}"
    return f"{vendor.title} can't return it as of {day}, a past date"


def choose_tables(vendor: Vendor, selected: Sequence[str], *, is_past: bool) -> list[str]:
    """Return the selected tables that the vendor can return for the day, parents before children.

    Raises:
        InputRejected: A table is unknown, no table is selected, or the vendor can't return any of them for a past day.
    """
    known = [table.name for table in vendor.requested_tables]
    if unknown := [name for name in selected if name not in known]:
        raise InputRejected(f"{vendor.title} has no table {', '.join(unknown)}; it has {', '.join(known)}")
    if not selected:
        raise InputRejected(f"No table is selected; {vendor.title} has {', '.join(known)}")
    possible = [table.name for table in vendor.requested_tables if table.states_past or not is_past]
    if tables := [name for name in possible if name in selected]:
        return tables
    raise InputRejected(
        f"{vendor.title} can't return {', '.join(selected)} as of a past date; select from {', '.join(possible)}, or use the latest day"
    )


def keep_keyed(vendor: Vendor, tables: Sequence[str]) -> list[str]:
    """Return the given tables that can be pulled for single clients, and the other tables that their maps need.

    Raises:
        InputRejected: No table can be pulled for single clients.
    """
    keyed = find_keyed(vendor, tables)
    if not keyed:
        raise InputRejected(f"{vendor.title} can't return single clients: leave the clients out to pull all")
    beside = {name for each in vendor.maps if each.table in keyed for name in each.beside}
    return [table.name for table in vendor.requested_tables if table.name in {*keyed, *beside}]


def find_key_table(vendor: Vendor) -> str:
    """Return the name of the table whose keys select single clients or rows in a run, such as `clients`.

    Raises:
        InputRejected: The vendor can only return whole tables.
    """
    for table in vendor.requested_tables:
        if table.selected:
            return table.name
        if isinstance(table.shape, FanOut) and table.parent and vendor.is_keyed(vendor.table(table.parent)):
            return table.parent
    raise InputRejected(f"{vendor.title} can't return single rows, only whole tables")


def find_keyed(vendor: Vendor, tables: Sequence[str] | None = None) -> list[str]:
    """Return those of the given tables that can be pulled for single clients. None for `tables` stands for all tables."""
    keyed: list[str] = []
    for table in vendor.requested_tables:  # parents before children
        is_fan = isinstance(table.shape, FanOut) and bool(table.parent) and vendor.is_keyed(vendor.table(table.parent))
        is_keyed = is_fan or bool(table.selected)
        if (tables is None or table.name in tables) and (is_keyed or table.parent in keyed):
            keyed.append(table.name)
    return keyed
