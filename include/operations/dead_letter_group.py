"""One group of dead letters: those of a vendor's table, business date, step and reasons, with their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from include.contract import Vendor

_OF_GROUP = """
from control.dead_letter_row
where vendor = :vendor and table_name = :table_name and business_date = :business_date and stage = :stage and reasons = :reasons
  and status = 'open'
"""
_SUMMARY = sa.text(f"""
select count(*) as total, count(*) filter (where row_key is null) as keyless, sum(abs(money_usd)) as money_usd,
       count(*) filter (where is_money_unreadable) as money_unreadable, min(died_at) as since, max(dead_letter_id) as last_id
{_OF_GROUP}
""")
# The names that a row concerns are looked up for the rows of the page only.
_ROWS = sa.text(f"""
select dead_letter_id, row_key, concerns, public_reasons, money_usd, is_money_unreadable, died_at, run_id, cells, shown_at
from control.dead_letter_detail
where dead_letter_id = any(array(select dead_letter_id {_OF_GROUP} order by dead_letter_id limit :limit offset :offset))
order by dead_letter_id
""")  # noqa: S608


@dataclass(frozen=True, slots=True)
class GroupKey:
    """The values that the dead letters of a group share; `reasons` are joined by `; `."""

    vendor: str
    table_name: str
    business_date: date
    stage: str
    reasons: str


@dataclass(frozen=True, slots=True)
class Group:
    """A group and one page of its rows.

    Attributes:
        key: What its dead letters share.
        total: Number of open dead letters.
        keyless: Number of them whose key can't be read. Only a new run of the table can load their rows.
        money_usd: Sum of the readable amounts; None if no amount can be read.
        money_unreadable: Number of rows whose amount can't be read.
        since: When the oldest was recorded; None if the group is empty.
        last_id: The largest id; a selection of the whole group ends here. None if the group is empty.
        rows: The rows of the page.
    """

    key: GroupKey
    total: int
    keyless: int
    money_usd: Decimal | None
    money_unreadable: int
    since: datetime | None
    last_id: int | None
    rows: Sequence[sa.RowMapping]

    @property
    def selection(self) -> dict[str, Any]:
        """The group as the DAG `replay_dead_letters` takes it."""
        return asdict(self.key) | {"business_date": str(self.key.business_date), "last_id": self.last_id}


def read_group(connection: sa.Connection, key: GroupKey, offset: int, limit: int) -> Group:
    """Return a group with one page of its rows, the oldest first; the group is empty if all its dead letters were closed."""
    values = asdict(key)
    summary = connection.execute(_SUMMARY, values).mappings().one()
    rows = connection.execute(_ROWS, values | {"limit": limit, "offset": offset}).mappings().all()
    return Group(key, rows=rows, **summary)


def plan_pull(vendor: Vendor, table_name: str, business_date: date) -> dict[str, Any] | None:
    """Return the parameters of the vendor's DAG that pull a table again, with the other tables that its requests and mappings need.

    A table whose rows are about one business date is pulled for this date. The vendor returns other tables as they are now.
    None if the table can't be requested, because the vendor only sends its rows.
    """
    by_name = {table.name: table for table in vendor.requested_tables}
    if table_name not in by_name:
        return None
    needed, added = set[str](), {table_name}
    while added:
        needed |= added
        parents = {by_name[name].parent for name in added if by_name[name].parent}
        read = [each.beside for each in vendor.maps if each.table in added]
        beside = {name for tables in read for name, other in tables.items() if not other.is_optional}
        added = (parents | beside) & set(by_name) - needed
    dated = {"business_date": str(business_date)} if by_name[table_name].pull == "snapshot" else {}
    return dated | {"tables": [name for name in by_name if name in needed]}


def can_replay(vendor: Vendor, table_name: str) -> bool:
    """Return whether a replay can request the rows of a table: not those of a nested table, nor those that the vendor only sends."""
    return any(table.name == table_name and not table.parent for table in vendor.requested_tables)
