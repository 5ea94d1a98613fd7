"""Tamarac's clients and households."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.contract import DATE, STRING, Beside, EntityMap, Linked, Table, column, constant, derived, sensitive
from include.vendors.arrays import full_name, is_missing, left_join, state_code
from include.vendors.registrations import client_kind, is_entity_client, is_natural_client

if TYPE_CHECKING:
    import pyarrow as pa


def add_home(rows: pa.Table, clients: pa.Table) -> pa.Table:
    """Join accounts or households with the address and household of their primary client."""
    return left_join(
        rows, clients.rename_columns(["primary_client_id", *clients.column_names[1:]]), ["primary_client_id"]
    )


# --- tables: parents before children ---------------------------------------------------------------------------------

PAGES = Linked("nextPageUrl", "pageSize")

CLIENTS = Table(
    name="clients",
    path="clients",
    key=("client_id",),
    shape=PAGES,
    rows="items",
    omits_nulls=True,
    page_rows=200,
    columns=(
        column("client_id", "clientId", STRING, required=True),
        column("household_id", "householdId", STRING),
        column("first_name", "firstName", STRING),
        column("last_name", "lastName", STRING, required=True),
        column("email", "email", STRING),
        column("phone", "phone", STRING),
        column("birth_date", "birthDate", DATE),
        sensitive("tax_id", "taxId", has_form=True),
        column("street", "street", STRING),
        column("city", "city", STRING),
        column("state_code", "state", STRING),
        column("postal_code", "zip", STRING),
    ),
)

HOUSEHOLDS = Table(
    name="households",
    path="households",
    key=("household_id",),
    shape=PAGES,
    rows="items",
    has_objects=True,
    omits_nulls=True,
    page_rows=200,
    columns=(
        column("household_id", "householdId", STRING, required=True),
        column("name", "name", STRING, required=True),
        column("advisor_id", "advisorId", STRING),
        column("advisor_name", "advisorName", STRING),
        column("primary_client_id", "primaryClientId", STRING),
        column("members", "members", STRING),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

NAME = ("first_name", "last_name", "tax_id_form")
HOME = ("client_id", "household_id", "email", "phone", "street", "city", "state_code", "postal_code")

MAPS = (
    EntityMap(
        "representative",
        "households",
        {
            "representative_key": "advisor_id",
            "number": "advisor_id",
            "name": "advisor_name",
            "is_active": constant(True),
        },
        merged=True,
        dropped={"no advisor": derived(is_missing, "advisor_id")},
    ),
    EntityMap(
        "household",
        "households",
        {
            "household_key": "household_id",
            "representative_key": "advisor_id",
            "name": "name",
            "street": "street",
            "city": "city",
            "state_code": derived(state_code, "state_code"),
            "postal_code": "postal_code",
            "email": "email",
            "phone": "phone",
            "is_active": constant(True),
        },
        split=add_home,
        takes=("household_id", "advisor_id", "name", "primary_client_id"),
        beside={"clients": Beside((HOME[0], *HOME[2:]), {"client_id": "primary_client_id"})},
    ),
    EntityMap(
        "person",
        "clients",
        {
            "person_key": "client_id",
            "household_key": "household_id",
            "name": derived(full_name, "first_name", "last_name"),
            "first_name": "first_name",
            "last_name": "last_name",
            "birth_date": "birth_date",
            "tax_id_hash": "tax_id_hash",
            "tax_id_last4": "tax_id_last4",
            "email": "email",
            "phone": "phone",
            "street": "street",
            "city": "city",
            "state_code": derived(state_code, "state_code"),
            "postal_code": "postal_code",
        },
        dropped={"legal entity": derived(is_entity_client, *NAME)},
    ),
    EntityMap(
        "legal_entity",
        "clients",
        {
            "legal_entity_key": "client_id",
            "household_key": "household_id",
            "name": "last_name",
            "entity_kind": derived(client_kind, *NAME),
            "tax_id_hash": "tax_id_hash",
            "tax_id_last4": "tax_id_last4",
        },
        dropped={"natural person": derived(is_natural_client, *NAME)},
    ),
)
