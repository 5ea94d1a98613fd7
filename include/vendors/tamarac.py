"""Tamarac (Envestnet): accounts, groups, households and people from the External API, holdings and transactions from reports.

The vendor has published the kinds of data, paging by links, the omission of null properties, and the daily
custodial sync. Paths, fields, report names and CSV headers are not public; those here are defaults, which the connection may
override (`paths`, `columns`). Group rows among account rows are dropped; rows of the same security in an account are
summed. A household owns accounts through nested groups and in part, which becomes the table of account owners with shares.
Transactions are requested by entry date, so that back-dated trades are included.
"""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from include.contract import (
    BOOLEAN,
    DATE,
    MONEY,
    PRICE,
    QUANTITY,
    STRING,
    Basic,
    Beside,
    Budget,
    EntityMap,
    Linked,
    Probe,
    Report,
    Table,
    Vendor,
    column,
    constant,
    derived,
    ignored,
    sensitive,
)
from include.vendors.arrays import beside, full_name, is_missing, is_word, joined, looked_up, state_code
from include.vendors.owners import Owner, with_owners
from include.vendors.ownership import Edge, shares_of

if TYPE_CHECKING:
    import pyarrow as pa

# --- what only Tamarac needs -----------------------------------------------------------------------------------------

CASH, GROUP = "CASH", "Reporting Group"
STATUSES = {"Posted": "posted", "Pending": "pending", "Reversed": "reversed"}
FLOWS = {
    "Deposit": "contribution", "Withdrawal": "distribution", "Fee": "fee", "Dividend": "income", "Interest": "income",
    "Transfer In": "transfer", "Transfer Out": "transfer",
}  # fmt: skip


def security_key(cusip: pa.Array, symbol: pa.Array, description: pa.Array) -> pa.Array:
    """Return the key of a security: CUSIP, else symbol, else name, else cash (a fee)."""
    import pyarrow.compute as pc

    return pc.coalesce(cusip, symbol, description, CASH)


def position_key(account_id: pa.Array, cusip: pa.Array, symbol: pa.Array, description: pa.Array) -> pa.Array:
    """Return the key of an account's position in a security."""
    return joined(account_id, security_key(cusip, symbol, description))


def cash_key(account_id: pa.Array, symbol: pa.Array, type_: pa.Array) -> pa.Array:
    """Return the key of the account's cash position, which a transaction changes; null for a transaction without a cash leg."""
    import pyarrow.compute as pc

    cash = pc.binary_join_element_wise(account_id.cast("string"), CASH, ":")
    return pc.if_else(_is_in_kind(symbol, type_), None, cash)


def _is_in_kind(symbol: pa.Array, type_: pa.Array) -> pa.Array:
    """Return whether a transaction has no cash leg: a transfer in kind, or a transaction of cash itself."""
    import pyarrow.compute as pc

    return pc.fill_null(pc.or_kleene(is_word(symbol, CASH), pc.match_substring(type_, "Transfer")), False)


def security_name(type_: pa.Array, symbol: pa.Array, description: pa.Array) -> pa.Array:
    """Return the security's name: the description of the transaction without the type in front."""
    import pyarrow as pa
    import pyarrow.compute as pc

    pairs = zip(type_.to_pylist(), description.to_pylist(), strict=True)
    names = pa.array([text and text.removeprefix(f"{word} ") for word, text in pairs], pa.string())
    return pc.if_else(is_word(symbol, CASH), CASH, names)


def entered(on: pa.Array) -> pa.Array:
    """Convert the entry date to a time, which orders the versions of a transaction."""
    import pyarrow as pa

    return on.cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))


def legs(transactions: pa.Table) -> pa.Table:
    """Add a row for the cash position to every transaction with a cash leg; its quantity is the transaction's amount."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numbered = transactions.append_column("row", pa.array(range(transactions.num_rows), pa.int64()))
    in_kind = _is_in_kind(numbered["symbol"], numbered["type"])
    cash = numbered.filter(pc.and_(pc.invert(in_kind), pc.is_valid(numbered["amount_usd"])))
    ids = pc.binary_join_element_wise(cash["transaction_id"], "cash", ":")
    changed: dict[str, Any] = dict.fromkeys(("cusip", "price_usd", "amount_usd"))
    changed |= {"transaction_id": ids, "symbol": CASH, "type": "Cash", "quantity": cash["amount_usd"]}
    for name, values in changed.items():
        field = numbered.schema.field(name)
        filled = (
            values if isinstance(values, pa.ChunkedArray) else pa.repeat(pa.scalar(values, field.type), cash.num_rows)
        )
        cash = cash.set_column(cash.schema.get_field_index(name), field, filled.cast(field.type))
    return pa.concat_tables([numbered, cash])


def with_home(rows: pa.Table, clients: pa.Table) -> pa.Table:
    """Join accounts or households with the address and household of their primary client."""
    return beside(rows, clients.rename_columns(["primary_client_id", *clients.column_names[1:]]), ["primary_client_id"])


def owners(accounts: pa.Table, households: pa.Table, groups: pa.Table, clients: pa.Table) -> pa.Table:
    """Return the owners of each account with their shares.

    An account without a household owner belongs to the household of its primary client. A joint client has no share. If the known
    household shares add up to the whole account, the owners are certain even if another household or group can't be read.
    """
    reported = [g for g in groups.to_pylist() if g["group_type"] == "Reporting"]
    owned = shares_of(
        {h["household_id"]: _edges(h["members"]) for h in households.to_pylist()},
        {g["group_id"]: _edges(g["members"]) for g in reported},
    )
    homes = dict(zip(clients["client_id"].to_pylist(), clients["household_id"].to_pylist(), strict=True))
    rows = []
    for row, account in enumerate(accounts.to_pylist()):
        home = homes.get(client := account["primary_client_id"])
        shares = owned.get(account["account_id"], {})
        is_whole = sum(shares.values()) == 1
        for household, share in (shares or ({home: Decimal(1)} if home else {})).items():
            rows.append(Owner(row, household, client if home == household else None, share, "primary", is_whole))
        if (joint := account["joint_client_id"]) and joint != client:
            rows.append(Owner(row, None, joint, Decimal(0), "joint", is_whole))
    return with_owners(accounts, rows)


def _edges(members: str | None) -> list[Edge]:
    import json

    listed = json.loads(members or "[]")
    return [Edge(m["id"], m["type"] == "Account", Decimal(str(m.get("ownershipPercent", 100))) / 100) for m in listed]


# --- tables: parents before children ---------------------------------------------------------------------------------

_PAGES = Linked("nextPageUrl", "pageSize")

CLIENTS = Table(
    name="clients",
    path="clients",
    key=("client_id",),
    shape=_PAGES,
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
        sensitive("tax_id", "taxId"),
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
    shape=_PAGES,
    rows="items",
    is_nested=True,
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

GROUPS = Table(
    name="groups",
    path="groups",
    key=("group_id",),
    shape=_PAGES,
    rows="items",
    is_nested=True,
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
    shape=_PAGES,
    rows="items",
    omits_nulls=True,
    page_rows=200,
    money="market_value_usd",
    parents={"primary_client_id": "clients"},
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

HOLDINGS = Table(
    name="holdings",
    path="reports",
    key=("account_id", "description"),
    pull="snapshot",
    shape=Report({"report": "AccountHoldingsAV"}),
    dated={"asOfDate": "%Y-%m-%d"},
    dates="us",
    omits_nulls=True,
    money="market_value_usd",
    parents={"account_id": "accounts"},
    agrees=("account_id", "accounts", "market_value_usd"),
    as_of="as_of_date",
    columns=(
        column("account_id", "Account ID", STRING, required=True),
        column("account_type", "Account Type", STRING, required=True),
        column("symbol", "Symbol", STRING),
        column("cusip", "CUSIP", STRING),
        column("description", "Description", STRING, required=True),
        column("asset_class", "Asset Class", STRING),
        column("security_type", "Security Type", STRING),
        column("quantity", "Quantity", QUANTITY, required=True),
        column("price_usd", "Price", PRICE),
        column("market_value_usd", "Market Value", MONEY, required=True, rounded=True),
        column("cost_basis_usd", "Cost Basis", MONEY, rounded=True),
        column("as_of_date", "As Of Date", DATE, required=True),
        ignored("Account Number"),
    ),
)

TRANSACTIONS = Table(
    name="transactions",
    path="reports",
    key=("transaction_id",),
    pull="window",
    shape=Report({"report": "AccountTransactions"}),
    params={"dateType": "Entry"},
    when_past={"dateType": "Trade"},
    dated={"startDate": "%Y-%m-%d", "endDate": "%Y-%m-%d"},
    edited=("startDate", "endDate"),
    edited_as="%Y-%m-%d",
    dates="us",
    omits_nulls=True,
    money="amount_usd",
    parents={"account_id": "accounts"},
    columns=(
        column("transaction_id", "Transaction ID", STRING, required=True),
        column("account_id", "Account ID", STRING, required=True),
        column("trade_date", "Trade Date", DATE, required=True),
        column("entry_date", "Entry Date", DATE, required=True),
        column("settle_date", "Settle Date", DATE),
        column("type", "Type", STRING, required=True),
        column("symbol", "Symbol", STRING),
        column("cusip", "CUSIP", STRING),
        column("description", "Description", STRING),
        column("quantity", "Quantity", QUANTITY, required=True),
        column("price_usd", "Price", PRICE),
        column("amount_usd", "Amount", MONEY, rounded=True),
        column("status", "Status", STRING, required=True),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

_HOME = ("client_id", "household_id", "email", "phone", "street", "city", "state_code", "postal_code")
_SECURITY = ("cusip", "symbol", "description")
# fmt: off
_TRANSACTION = (
    "transaction_id", "account_id", "cusip", "symbol", "description", "trade_date", "entry_date", "settle_date", "type", "status",
    "quantity", "price_usd", "amount_usd",
)
# fmt: on
_NO_GROUPS = {"group of accounts": derived(partial(is_word, word=GROUP), "account_type")}

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
        split=with_home,
        takes=("household_id", "advisor_id", "name", "primary_client_id"),
        beside={"clients": Beside((_HOME[0], *_HOME[2:]), {"client_id": "primary_client_id"})},
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
    ),
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
        split=with_home,
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
        beside={"clients": Beside(_HOME[:2], {"client_id": "primary_client_id"})},
        dropped=_NO_GROUPS,
    ),
    EntityMap(
        "account_owner",
        "accounts",
        {
            "account_owner_key": "owner_key",
            "account_key": "account_id",
            "household_key": "household_id",
            "person_key": "person_id",
            "share_ratio": "share_ratio",
            "role": "role",
        },
        split=owners,
        takes=("account_id", "account_type", "primary_client_id", "joint_client_id"),
        beside={
            "households": Beside(("household_id", "members")),
            "groups": Beside(("group_id", "group_type", "members")),
            "clients": Beside(("client_id", "household_id"), {"client_id": "primary_client_id"}),
        },
        dropped=_NO_GROUPS,
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
        dropped=_NO_GROUPS,
    ),
    EntityMap(
        "security",
        "holdings",
        {
            "security_key": derived(security_key, *_SECURITY),
            "name": "description",
            "ticker": "symbol",
            "cusip": "cusip",
            "asset_class": "asset_class",
            "category": "security_type",
            "security_type": "security_type",
        },
        merged=True,
    ),
    EntityMap(
        "position",
        "holdings",
        {
            "position_key": derived(position_key, "account_id", *_SECURITY),
            "account_key": "account_id",
            "security_key": derived(security_key, *_SECURITY),
            "quantity": "quantity",
            "price_usd": "price_usd",
            "market_value_usd": "market_value_usd",
            "cost_basis_usd": "cost_basis_usd",
            "is_cash": derived(partial(is_word, word=CASH), "symbol"),
        },
        merged=True,
        summed=("quantity", "market_value_usd", "cost_basis_usd"),
        dropped=_NO_GROUPS,
    ),
    EntityMap(
        "security",
        "transactions",
        {
            "security_key": derived(security_key, *_SECURITY),
            "name": derived(security_name, "type", "symbol", "description"),
            "ticker": "symbol",
            "cusip": "cusip",
        },
        merged=True,
        split=legs,
        takes=_TRANSACTION,
        is_partial=True,
    ),
    EntityMap(
        "transaction",
        "transactions",
        {
            "transaction_key": "transaction_id",
            "account_key": "account_id",
            "security_key": derived(security_key, *_SECURITY),
            "position_key": derived(position_key, "account_id", *_SECURITY),
            "trade_date": "trade_date",
            "settle_date": "settle_date",
            "transaction_type": "type",
            "type_code": "type",
            "flow": derived(partial(looked_up, table=FLOWS, default=None), "type"),
            "status": derived(partial(looked_up, table=STATUSES, default="other"), "status"),
            "quantity": "quantity",
            "price_usd": "price_usd",
            "amount_usd": "amount_usd",
            "description": "description",
            "edited_at": derived(entered, "entry_date"),
        },
        split=legs,
        takes=_TRANSACTION,
        also_moves=derived(cash_key, "account_id", "symbol", "type"),
    ),
)

TAMARAC = Vendor(
    name="tamarac",
    title="Tamarac",
    notes=__doc__,
    login=Basic(),
    tables=(CLIENTS, HOUSEHOLDS, GROUPS, ACCOUNTS, HOLDINGS, TRANSACTIONS),
    maps=MAPS,
    cron="0 6 * * 1-5",
    zone="America/New_York",
    ranks={"": 20},
    # The vendor publishes no limit; this is ours, and the connection may lower it.
    budget=Budget(calls_per_minute=300, burst=20),
    closed=Probe(path="custodial-sync", params={}, field="lastSuccessfulDate", top=""),
)
