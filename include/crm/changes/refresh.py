"""Handle the platform event by which a Salesforce user requests fresh data of a client.

The event creates the same request for a run as the HTTP API does, in the transaction that stores the event.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from include.crm.changes.decoding import Change

log = logging.getLogger(__name__)

EVENT = "Tributary_Refresh__e"
_CALLER = "salesforce"

# The records of a client at all vendors. For a household: the household and its persons. For a person: the person and their household.
# For a legal entity: its household.
_CLIENTS = sa.text("""
with requested as (
    select entity, id from warehouse.source_key
    where entity = :entity and vendor = :vendor and source_key = control.current_key(:key)
), person as (
    select p.person_id, p.vendor, p.household_id, coalesce(i.identity_id, p.person_id) as identity_id from warehouse.person p
    left join warehouse.identity i on i.entity = 'person' and i.id = p.person_id and i.recorded_to is null
    where p.valid_to is null and p.recorded_to is null
), household as (
    select h.household_id, h.vendor, coalesce(i.identity_id, h.household_id) as identity_id from warehouse.household h
    left join warehouse.identity i on i.entity = 'household' and i.id = h.household_id and i.recorded_to is null
    where h.valid_to is null and h.recorded_to is null
), human as (
    select p.* from person p join person a on a.identity_id = p.identity_id
    join requested on requested.entity = 'person' and a.person_id = requested.id
), legal_entity as (
    select e.household_id from warehouse.legal_entity e join requested on requested.entity = 'legal_entity' and e.legal_entity_id = requested.id
    where e.valid_to is null and e.recorded_to is null
), home as (
    select h.* from household h join household a on a.identity_id = h.identity_id
    where a.household_id in (select id from requested where entity = 'household' union select household_id from human
                             union select household_id from legal_entity)
)
select k.vendor, k.entity, k.source_key as key from warehouse.source_key k
where k.id in (select household_id from home union select person_id from human
               union select p.person_id from person p join home h on h.household_id = p.household_id
               where exists (select from requested where entity = 'household'))
order by 1, 2, 3
""")
_REQUEST = sa.text("select * from control.submit_request(:caller, :key, :hash, 'run', :vendor, cast(:params as jsonb))")


@dataclass(frozen=True, slots=True)
class Client:
    """A vendor's record of a client: its entity, and the vendor's key."""

    vendor: str
    entity: str
    key: str


Plan = Callable[[Sequence[Client], str], Mapping[str, Mapping[str, Any]]]
"""Function that plans the on-demand runs that refresh a client, given the client's records and the name of a vendor (empty: all vendors).
It returns the parameters of the runs by vendor."""


def refresh(db: sa.Connection, event: Change, plan: Plan) -> list[str]:
    """Request the on-demand runs for a refresh event; return their vendors.

    If no vendor can refresh the event's client, log a warning and return an empty list.
    """
    key, vendor = str(event.fields.get("Client_Key__c") or ""), str(event.fields.get("Vendor__c") or "")
    orders = plan(find_clients(db, key), vendor)
    if not orders:
        log.warning(
            "Refresh event %s names no client that a vendor can refresh; nothing was requested", event.record_id
        )
    for name, params in orders.items():
        body = orjson.dumps(params)
        values = {
            "caller": _CALLER, "key": f"{event.record_id}:{name}", "hash": hashlib.sha256(body).digest(), "vendor": name,
            "params": body.decode(),
        }  # fmt: skip
        db.execute(_REQUEST, values)
    return list(orders)


def find_clients(db: sa.Connection, key: str) -> list[Client]:
    """Return the records of a client at all vendors; an empty list if the key is unknown.

    The key is the one in Salesforce: `<firm>:<vendor>:<entity>:<the vendor's key>`. For a household, its persons are included; for a
    person, their household. For a legal entity, it is the household alone.
    """
    _, _, rest = key.partition(":")
    vendor, _, rest = rest.partition(":")
    entity, _, own = rest.partition(":")
    rows = db.execute(_CLIENTS, {"vendor": vendor, "entity": entity, "key": own})
    return [Client(row.vendor, row.entity, row.key) for row in rows]
