"""Orion's representatives, clients (households) and registrations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from include.contract import (
    BOOLEAN,
    DATE,
    INTEGER,
    MONEY,
    QUANTITY,
    STRING,
    TIMESTAMP,
    Beside,
    EntityMap,
    Offset,
    Table,
    column,
    derived,
    ignored,
    sensitive,
)
from include.vendors.arrays import state_code
from include.vendors.registrations import (
    add_parties,
    entity_name,
    is_legal_entity,
    is_natural_person,
    natural_key,
    read_title,
    registration_kind,
)

if TYPE_CHECKING:
    import pyarrow as pa

# Types of joint registrations. Firms choose the words themselves.
JOINT = re.compile(r"\bjoint|\bjt|\btic\b|tenan|community property", re.IGNORECASE)


def read_titles(registrations: pa.Table) -> Iterator[Mapping[str, Any]]:
    """Yield each registration as a title of `include.vendors.registrations.People`; the table has the columns `REGISTRATION`."""
    for row in registrations.to_pylist():
        yield row | {
            "id": row["registration_id"],
            "home": row["client_id"],
            "title": row["name"],
            "registration": read_title(*(row[name] for name in _TITLE)),
            "is_joint": bool(JOINT.search(f"{row['type_code']} {row['account_type']}")),
        }


def parties(registrations: pa.Table, all_registrations: pa.Table) -> pa.Table:
    """Return the parties of each registration; those who are persons are found among all registrations of the household."""
    return add_parties(registrations, read_titles(all_registrations))


# --- tables: parents before children ---------------------------------------------------------------------------------

REPRESENTATIVES = Table(
    name="representatives",
    path="Portfolio/Representatives",
    key=("representative_id",),
    columns=(
        column("representative_id", "id", INTEGER, required=True),
        column("number", "number", STRING),
        column("name", "fullName", STRING, required=True),
        column("first_name", "firstName", STRING),
        column("last_name", "lastName", STRING),
        column("email", "email", STRING),
        column("broker_dealer", "brokerDealer", STRING),
        column("firm_name", "firmName", STRING),
        column("is_active", "isActive", BOOLEAN),
        column("status", "status", STRING),
        column("start_date", "startDate", DATE),
        column("edited_at", "editedDate", TIMESTAMP),
        *ignored("repNo, address1, address2, address3, city, state, zip, country, riaName, createdDate"),
        *ignored("riaId, households", INTEGER),
        *ignored("value", MONEY),
    ),
)

CLIENTS = Table(
    name="clients",
    path="Portfolio/Clients",
    key=("client_id",),
    references={"representative_id": "representatives"},
    shape=Offset("Id"),
    version="edited_at",
    columns=(
        column("client_id", "id", INTEGER, required=True),
        column("name", "name", STRING, required=True),
        column("first_name", "firstName", STRING),
        column("last_name", "lastName", STRING),
        column("is_active", "isActive", BOOLEAN, required=True),
        column("aum_usd", "aum", MONEY, rounded=True),
        column("representative_id", "representativeId", INTEGER),
        column("category", "category", STRING),
        column("additional_accounts", "additionalAccounts", INTEGER),
        column("salutation", "salutation", STRING),
        column("address_1", "address1", STRING),
        column("address_2", "address2", STRING),
        column("city", "city", STRING),
        column("state_code", "state", STRING),
        column("postal_code", "zip", STRING),
        column("country", "country", STRING),
        column("home_phone", "homePhone", STRING),
        column("mobile_phone", "mobilePhone", STRING),
        column("email", "email", STRING),
        sensitive("tax_id", "ssN_TaxID"),
        column("birth_date", "dob", DATE),
        column("created_at", "createdDate", TIMESTAMP),
        column("edited_at", "editedDate", TIMESTAMP),
        *ignored("startDate"),  # a text in an undocumented format
        *ignored("representativeName, representativeNumber, createdBy, editedBy, importKey, address3, homePhoneExt"),
        *ignored("businessPhone, gender, company, jobTitle, reportName, personalId"),
        *ignored("categoryId, statementDeliveryMethodId", INTEGER),
        *ignored("riskScore", QUANTITY),
    ),
)

REGISTRATIONS = Table(
    name="registrations",
    path="Portfolio/Registrations",
    key=("registration_id",),
    references={"client_id": "clients"},
    shape=Offset("Id"),
    version="edited_at",
    columns=(
        column("registration_id", "id", INTEGER, required=True),
        column("client_id", "clientId", INTEGER, required=True),
        column("name", "name", STRING, required=True),
        column("first_name", "firstName", STRING),
        column("last_name", "lastName", STRING),
        column("is_active", "isActive", BOOLEAN),
        column("account_type", "accountType", STRING),
        column("type_code", "typeCode", STRING),
        column("current_value_usd", "currentValue", MONEY, rounded=True),
        sensitive("tax_id", "ssN_TaxID", has_form=True),
        column("birth_date", "dob", DATE),
        column("gender", "gender", STRING),
        column("edited_at", "editedDate", TIMESTAMP),
        *ignored("company, jobTitle, representativeName, representativeNumber, returnObjective, investmentObjective"),
        *ignored("timeHorizon, stockPercent, bondPercent, createdDate, createdBy, editedBy"),
        *ignored("typeId, riskBudget", INTEGER),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

# fmt: off
REGISTRATION = (
    "registration_id", "client_id", "name", "first_name", "last_name", "account_type", "type_code", "birth_date", "tax_id_hash",
    "tax_id_form",
)
"""Columns of a registration that its title, its parties and the owners of its accounts are read from."""
# fmt: on
_TITLE = ("name", "account_type", "tax_id_form")

MAPS = (
    EntityMap(
        "representative",
        "representatives",
        {
            "representative_key": "representative_id",
            "number": "number",
            "name": "name",
            "email": "email",
            "status": "status",
            "is_active": "is_active",
        },
    ),
    EntityMap(
        "household",
        "clients",
        {
            "household_key": "client_id",
            "representative_key": "representative_id",
            "name": "name",
            "category": "category",
            "salutation": "salutation",
            "street": "address_1",
            "city": "city",
            "state_code": derived(state_code, "state_code"),
            "postal_code": "postal_code",
            "country": "country",
            "email": "email",
            "phone": "home_phone",
            "is_active": "is_active",
        },
    ),
    EntityMap(
        "registration",
        "registrations",
        {
            "registration_key": "registration_id",
            "household_key": "client_id",
            "person_key": derived(natural_key, "registration_id", *_TITLE),
            "name": "name",
            "registration_type": "account_type",
            "registration_kind": derived(registration_kind, *_TITLE),
            "is_active": "is_active",
        },
    ),
    EntityMap(
        "registration_party",
        "registrations",
        {
            "registration_party_key": "party_key",
            "registration_key": "registration_key",
            "person_key": "person_key",
            "legal_entity_key": "legal_entity_key",
            "role": "role",
            "name": "name",
        },
        split=parties,
        takes=("registration_id", "client_id"),
        beside={"registrations": Beside(REGISTRATION, {"client_id": "client_id"})},
    ),
    EntityMap(
        "person",
        "registrations",
        {
            "person_key": "registration_id",
            "household_key": "client_id",
            "name": "name",
            "first_name": "first_name",
            "last_name": "last_name",
            "birth_date": "birth_date",
            "gender": "gender",
            "tax_id_hash": "tax_id_hash",
            "tax_id_last4": "tax_id_last4",
        },
        dropped={"legal entity": derived(is_legal_entity, *_TITLE)},
    ),
    EntityMap(
        "legal_entity",
        "registrations",
        {
            "legal_entity_key": "registration_id",
            "household_key": "client_id",
            "name": derived(entity_name, *_TITLE),
            "entity_kind": derived(registration_kind, *_TITLE),
            "tax_id_hash": "tax_id_hash",
            "tax_id_last4": "tax_id_last4",
        },
        dropped={"natural person": derived(is_natural_person, *_TITLE)},
    ),
)
