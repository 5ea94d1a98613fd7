"""eMoney's clients and their spouses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.contract import (
    BOOLEAN,
    DATE,
    STRING,
    TIMESTAMP,
    EntityMap,
    Numbered,
    Table,
    column,
    constant,
    derived,
    ignored,
)
from include.vendors.arrays import full_name, join_key, parse_household_key, state_code

if TYPE_CHECKING:
    import pyarrow as pa


def add_spouses(clients: pa.Table) -> pa.Table:
    """Return one row per client, and one more for the client's spouse if there is one; both have the same address."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = ["first_name", "last_name", "birth_date", "email"]
    shared = ["client_id", "phone", "street", "city", "state_code", "postal_code", "external_id"]
    numbered = clients.append_column("row", pa.array(range(clients.num_rows), pa.int64()))
    married = numbered.filter(
        pc.or_(pc.is_valid(numbered["spouse_first_name"]), pc.is_valid(numbered["spouse_last_name"]))
    )
    spouses = married.select(["row", *shared, *(f"spouse_{name}" for name in names)])
    spouses = spouses.rename_columns(["row", *shared, *names])
    heads = numbered.select(["row", *shared, *names])
    keys = pa.concat_arrays(
        [heads["client_id"].combine_chunks(), join_key(spouses["client_id"].combine_chunks(), _word("spouse", spouses))]
    )
    return pa.concat_tables([heads, spouses]).append_column("person_id", keys)


def _word(word: str, rows: pa.Table) -> pa.Array:
    import pyarrow as pa

    return pa.repeat(pa.scalar(word), rows.num_rows)


# --- tables: parents before children ---------------------------------------------------------------------------------

CLIENTS = Table(
    name="clients",
    path="clients",
    key=("client_id",),
    shape=Numbered("page", "pageSize"),
    version="updated_at",
    page_rows=100,
    has_objects=True,
    omits_nulls=True,
    columns=(
        column("client_id", "clientId", STRING, required=True),
        column("first_name", "firstName", STRING),
        column("last_name", "lastName", STRING, required=True),
        column("birth_date", "dateOfBirth", DATE),
        column("marital_status", "maritalStatus", STRING),
        column("email", "email", STRING),
        column("phone", "phone", STRING),
        column("street", "address.street", STRING),
        column("city", "address.city", STRING),
        column("state_code", "address.state", STRING),
        column("postal_code", "address.zip", STRING),
        column("owner_id", "ownerId", STRING),
        column("external_id", "externalId", STRING),
        column("spouse_first_name", "spouse.firstName", STRING),
        column("spouse_last_name", "spouse.lastName", STRING),
        column("spouse_birth_date", "spouse.dateOfBirth", DATE),
        column("spouse_email", "spouse.email", STRING),
        column("updated_at", "updatedDate", TIMESTAMP),
        *ignored("address, spouse, createdDate"),
        *ignored("previousMarriages", BOOLEAN),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

MAPS = (
    EntityMap(
        "household",
        "clients",
        {
            "household_key": "client_id",
            "representative_key": "owner_id",
            "name": derived(full_name, "first_name", "last_name"),
            "street": "street",
            "city": "city",
            "state_code": derived(state_code, "state_code"),
            "postal_code": "postal_code",
            "email": "email",
            "phone": "phone",
            "is_active": constant(True),
        },
    ),
    EntityMap(
        "person",
        "clients",
        {
            "person_key": "person_id",
            "household_key": "client_id",
            "name": derived(full_name, "first_name", "last_name"),
            "first_name": "first_name",
            "last_name": "last_name",
            "birth_date": "birth_date",
            "email": "email",
            "phone": "phone",
            "street": "street",
            "city": "city",
            "state_code": derived(state_code, "state_code"),
            "postal_code": "postal_code",
            "cross_references": derived(parse_household_key, "external_id"),
        },
        split=add_spouses,
        takes=(
            "client_id",
            "first_name",
            "last_name",
            "birth_date",
            "email",
            "phone",
            "street",
            "city",
            "state_code",
            "postal_code",
            "external_id",
            "spouse_first_name",
            "spouse_last_name",
            "spouse_birth_date",
            "spouse_email",
        ),
    ),
)
