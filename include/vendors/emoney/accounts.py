"""eMoney's accounts: accounts that clients have elsewhere."""

from __future__ import annotations

from include.contract import (
    BOOLEAN,
    DATE,
    MONEY,
    STRING,
    TIMESTAMP,
    EntityMap,
    FanOut,
    Table,
    column,
    derived,
    ignored,
    sensitive,
)
from include.vendors.arrays import build_daily_key, day_of

# --- tables: parents before children ---------------------------------------------------------------------------------

ACCOUNTS = Table(
    name="accounts",
    path="clients/{client_id}/accounts",
    key=("account_id",),
    shape=FanOut("clients"),
    omits_nulls=True,
    money="value_usd",
    references={"client_id": "clients"},
    columns=(
        column("account_id", "accountId", STRING, required=True),
        column("client_id", "@client_id", STRING, required=True),
        column("name", "name", STRING),
        sensitive("account_number", "accountNumber"),
        column("institution", "institution", STRING),
        column("account_type", "type", STRING),
        column("value_usd", "value", MONEY, rounded=True),
        column("as_of_date", "asOfDate", DATE),
        column("is_linked", "isLinked", BOOLEAN),
        column("requested_at", "@requested_at", TIMESTAMP, required=True),
        *ignored("clientId"),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

MAPS = (
    EntityMap(
        "outside_account",
        "accounts",
        {
            "outside_account_key": "account_id",
            "household_key": "client_id",
            "name": "name",
            "account_number_hash": "account_number_hash",
            "account_number_last4": "account_number_last4",
            "institution": "institution",
            "account_type": "account_type",
            "is_linked": "is_linked",
        },
    ),
    EntityMap(
        "outside_value",
        "accounts",
        {
            "outside_value_key": derived(build_daily_key, "account_id", "requested_at"),
            "outside_account_key": "account_id",
            "market_value_usd": "value_usd",
            "stated_on": "as_of_date",
            "requested_on": derived(day_of, "requested_at"),
            "requested_at": "requested_at",
        },
    ),
)
