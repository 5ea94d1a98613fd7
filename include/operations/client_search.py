"""Find clients by name at the vendors that can refresh single clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from include.contract import Vendor
from include.errors import InputRejected
from include.pipeline.plan import find_keyed
from include.pipeline.refresh import find_entity

MOST_CLIENTS = 50
"""Maximum number of clients that a search returns."""
SHORTEST = 2
"""Minimum number of characters of a name."""

_SEARCH = sa.text("""
with person as (
    select household_id, vendor, coalesce(name, concat_ws(' ', first_name, last_name)) as name from warehouse.person
    where vendor = any(:vendors) and household_id is not null and valid_to is null and recorded_to is null
    union all
    select household_id, vendor, name from warehouse.legal_entity
    where vendor = any(:vendors) and household_id is not null and valid_to is null and recorded_to is null
), found as materialized (
    select household_id, vendor, household_key as key, name from warehouse.household
    where vendor = any(:vendors) and valid_to is null and recorded_to is null
      and (position(lower(:name) in lower(name)) > 0
           or household_id in (select household_id from person where position(lower(:name) in lower(name)) > 0))
    order by name, vendor, household_key limit :most
)
select f.vendor, f.key, f.name, string_agg(distinct p.name, ', ') as persons
from found f left join person p using (household_id)
group by f.household_id, f.vendor, f.key, f.name order by f.name, f.vendor, f.key
""")


class FoundClient(NamedTuple):
    """A household at a vendor: the vendor, the vendor's key, the name, and the names of its persons and legal entities."""

    vendor: str
    key: str
    name: str | None
    persons: str | None


def search_clients(connection: sa.Connection, vendors: Sequence[Vendor], name: str) -> list[FoundClient]:
    """Return the households that have a text in their name, or in the name of one of their persons or legal entities.

    Args:
        connection: The database, as a role that may read households and persons.
        vendors: The vendors to search, as far as they can refresh single households.
        name: A part of the name, in any case.

    Raises:
        InputRejected: The name is too short.
    """
    name = name.strip()
    if len(name) < SHORTEST:
        raise InputRejected(f"Enter at least {SHORTEST} letters of the name")
    names = [vendor.name for vendor in vendors if can_refresh(vendor)]
    found = connection.execute(_SEARCH, {"name": name, "vendors": names, "most": MOST_CLIENTS})
    return [FoundClient(*row) for row in found]


def can_refresh(vendor: Vendor) -> bool:
    """Return whether a run can load single households of a vendor."""
    return bool(find_keyed(vendor)) and find_entity(vendor) == "household"
