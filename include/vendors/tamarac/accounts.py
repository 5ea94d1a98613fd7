"""Tamarac's groups and accounts, and who owns them."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from include.contract import (
    BOOLEAN,
    DATE,
    MONEY,
    STRING,
    Beside,
    EntityMap,
    Table,
    column,
    constant,
    derived,
    sensitive,
)
from include.vendors.arrays import is_word
from include.vendors.owners import Owner, add_owners
from include.vendors.ownership import Edge, shares_of
from include.vendors.registrations import is_entity, read_client
from include.vendors.tamarac.clients import HOME, NAME, PAGES, add_home

if TYPE_CHECKING:
    import pyarrow as pa

GROUP = "Reporting Group"


def owners(accounts: pa.Table, households: pa.Table, groups: pa.Table, clients: pa.Table) -> pa.Table:
    """Return the owners of each account with their shares.

    An account that no household owns belongs to the household of its primary client. A joint client is an owner without a share. If the
    shares of the households add up to exactly 1, the owners are certain even if the row of another household or group is a dead letter.
    """
    reported = [g for g in groups.to_pylist() if g["group_type"] == "Reporting"]
    owned = shares_of(
        {h["household_id"]: _edges(h["members"]) for h in households.to_pylist()},
        {g["group_id"]: _edges(g["members"]) for g in reported},
    )
    known = {each["client_id"]: each for each in clients.to_pylist()}
    entities = {key for key, each in known.items() if is_entity(read_client(*(each[name] for name in NAME)))}

    def own(row: int, household: str | None, client: str | None, share: Decimal, role: str, is_whole: bool) -> Owner:
        person, entity = (None, client) if client in entities else (client, None)
        return Owner(row, household, person, share, role, is_whole, entity)

    rows = []
    for row, account in enumerate(accounts.to_pylist()):
        home = known.get(client := account["primary_client_id"], {}).get("household_id")
        shares = owned.get(account["account_id"], {})
        is_whole = sum(shares.values()) == 1
        for household, share in (shares or ({home: Decimal(1)} if home else {})).items():
            rows.append(own(row, household, client if home == household else None, share, "primary", is_whole))
        if (joint := account["joint_client_id"]) and joint != client:
            rows.append(own(row, None, joint, Decimal(0), "joint", is_whole))
    return add_owners(accounts, rows)


def _edges(members: str | None) -> list[Edge]:
    import json

    listed = json.loads(members or "[]")
    return [Edge(m["id"], m["type"] == "Account", Decimal(str(m.get("ownershipPercent", 100))) / 100) for m in listed]


# --- tables: parents before children ---------------------------------------------------------------------------------

GROUPS = Table(
    name="groups",
    path="groups",
    key=("group_id",),
    shape=PAGES,
    rows="items",
    has_objects=True,
    omits_nulls=True,
    page_rows=200,
    columns=(
        column("group_id", "groupId", STRING, required=True),
        column("name", "name", STRING),
        column("group_type", "groupType", STRING),
        column("closed_date", "closedDate", DATE),
        column("members", "members", STRING),
    ),
)

ACCOUNTS = Table(
    name="accounts",
    path="accounts",
    key=("account_id",),
    shape=PAGES,
    rows="items",
    omits_nulls=True,
    page_rows=200,
    money="market_value_usd",
    references={"primary_client_id": "clients"},
    columns=(
        column("account_id", "accountId", STRING, required=True),
        sensitive("account_number", "accountNumber"),
        column("name", "name", STRING),
        column("account_type", "accountType", STRING, required=True),
        column("custodian", "custodian", STRING),
        column("status", "status", STRING, required=True),
        column("open_date", "openDate", DATE),
        column("closed_date", "closedDate", DATE),
        column("is_managed", "isManaged", BOOLEAN),
        column("is_discretionary", "isDiscretionary", BOOLEAN),
        column("primary_client_id", "primaryClientId", STRING),
        column("joint_client_id", "jointClientId", STRING),
        column("market_value_usd", "marketValue", MONEY, rounded=True),
        column("cash_usd", "cash", MONEY, rounded=True),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

NO_GROUPS = {"group of accounts": derived(partial(is_word, word=GROUP), "account_type")}

MAPS = (
    EntityMap(
        "account",
        "accounts",
        {
            "account_key": "account_id",
            "household_key": "household_id",
            "name": "name",
            "account_number_hash": "account_number_hash",
            "account_number_last4": "account_number_last4",
            "account_type": "account_type",
            "custodian": "custodian",
            "status": "status",
            "open_date": "open_date",
            "close_date": "closed_date",
            "is_active": derived(partial(is_word, word="Open"), "status"),
            "is_managed": "is_managed",
            "is_discretionary": "is_discretionary",
            "is_sleeve": constant(False),
            "is_counted": constant(True),
        },
        split=add_home,
        takes=(
            "account_id",
            "name",
            "account_number_hash",
            "account_number_last4",
            "account_type",
            "custodian",
            "status",
            "open_date",
            "closed_date",
            "is_managed",
            "is_discretionary",
            "primary_client_id",
        ),
        beside={"clients": Beside(HOME[:2], {"client_id": "primary_client_id"})},
        dropped=NO_GROUPS,
    ),
    EntityMap(
        "account_owner",
        "accounts",
        {
            "account_owner_key": "owner_key",
            "account_key": "account_id",
            "household_key": "household_id",
            "person_key": "person_id",
            "legal_entity_key": "legal_entity_id",
            "share_ratio": "share_ratio",
            "role": "role",
        },
        split=owners,
        takes=("account_id", "account_type", "primary_client_id", "joint_client_id"),
        beside={
            "households": Beside(("household_id", "members")),
            "groups": Beside(("group_id", "group_type", "members")),
            "clients": Beside(("client_id", "household_id", *NAME), {"client_id": "primary_client_id"}),
        },
        dropped=NO_GROUPS,
    ),
    EntityMap(
        "account_value",
        "accounts",
        {
            "account_value_key": "account_id",
            "account_key": "account_id",
            "market_value_usd": "market_value_usd",
            "cash_usd": "cash_usd",
        },
        dropped=NO_GROUPS,
    ),
)
