"""Tamarac's holdings (positions) and transactions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from include.contract import DATE, MONEY, PRICE, QUANTITY, STRING, EntityMap, Report, Table, column, derived, ignored
from include.vendors.arrays import is_word, join_key, look_up
from include.vendors.tamarac.accounts import NO_GROUPS

if TYPE_CHECKING:
    import pyarrow as pa

_report = partial(Report, job="jobId", state="status", done="Complete", failed=("Failed",))

CASH = "CASH"
STATUSES = {"Posted": "posted", "Pending": "pending", "Reversed": "reversed"}
FLOWS = {
    "Deposit": "contribution", "Withdrawal": "distribution", "Fee": "fee", "Dividend": "income", "Interest": "income",
    "Transfer In": "transfer", "Transfer Out": "transfer",
}  # fmt: skip


def security_key(cusip: pa.Array, symbol: pa.Array, description: pa.Array) -> pa.Array:
    """Return the key of a security: its CUSIP, or else the symbol, the name, or `CASH` (for a fee)."""
    import pyarrow.compute as pc

    return pc.coalesce(cusip, symbol, description, CASH)


def position_key(account_id: pa.Array, cusip: pa.Array, symbol: pa.Array, description: pa.Array) -> pa.Array:
    """Return the key of an account's position in a security."""
    return join_key(account_id, security_key(cusip, symbol, description))


def cash_key(account_id: pa.Array, symbol: pa.Array, type_: pa.Array) -> pa.Array:
    """Return the key of the account's cash position, if the transaction changes it (has a cash leg); otherwise null."""
    import pyarrow.compute as pc

    cash = pc.binary_join_element_wise(account_id.cast("string"), CASH, ":")
    return pc.if_else(_is_in_kind(symbol, type_), None, cash)


def _is_in_kind(symbol: pa.Array, type_: pa.Array) -> pa.Array:
    """Return whether a transaction has no separate cash leg: true for a transfer, and if the transaction's security is cash."""
    import pyarrow.compute as pc

    return pc.fill_null(pc.or_kleene(is_word(symbol, CASH), pc.match_substring(type_, "Transfer")), False)


def security_name(type_: pa.Array, symbol: pa.Array, description: pa.Array) -> pa.Array:
    """Return the security's name: the transaction's description without the type at its beginning; `CASH` for cash."""
    import pyarrow as pa
    import pyarrow.compute as pc

    pairs = zip(type_.to_pylist(), description.to_pylist(), strict=True)
    names = pa.array([text and text.removeprefix(f"{word} ") for word, text in pairs], pa.string())
    return pc.if_else(is_word(symbol, CASH), CASH, names)


def convert_entry_date(on: pa.Array) -> pa.Array:
    """Convert the entry date to a time (midnight UTC), by which the versions of a transaction are ordered."""
    import pyarrow as pa

    return on.cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))


def legs(transactions: pa.Table) -> pa.Table:
    """Return the transactions, and a second row for each one with a cash leg: the change of the cash position by the transaction's amount."""
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


# --- tables: parents before children ---------------------------------------------------------------------------------

HOLDINGS = Table(
    name="holdings",
    path="reports",
    key=("account_id", "description"),
    pull="snapshot",
    shape=_report({"report": "AccountHoldingsAV"}),
    dated={"asOfDate": "%Y-%m-%d"},
    dates="us",
    omits_nulls=True,
    money="market_value_usd",
    references={"account_id": "accounts"},
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
        *ignored("Account Number"),
    ),
)

TRANSACTIONS = Table(
    name="transactions",
    path="reports",
    key=("transaction_id",),
    pull="window",
    shape=_report({"report": "AccountTransactions"}),
    params={"dateType": "Entry"},
    when_past={"dateType": "Trade"},
    dated={"startDate": "%Y-%m-%d", "endDate": "%Y-%m-%d"},
    edited=("startDate", "endDate"),
    edited_as="%Y-%m-%d",
    dates="us",
    omits_nulls=True,
    money="amount_usd",
    references={"account_id": "accounts"},
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

_SECURITY = ("cusip", "symbol", "description")

# fmt: off
_TRANSACTION = (
    "transaction_id", "account_id", "cusip", "symbol", "description", "trade_date", "entry_date", "settle_date", "type", "status",
    "quantity", "price_usd", "amount_usd",
)
# fmt: on

MAPS = (
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
        dropped=NO_GROUPS,
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
            "flow": derived(partial(look_up, table=FLOWS, default=None), "type"),
            "status": derived(partial(look_up, table=STATUSES, default="other"), "status"),
            "quantity": "quantity",
            "price_usd": "price_usd",
            "amount_usd": "amount_usd",
            "description": "description",
            "edited_at": derived(convert_entry_date, "entry_date"),
        },
        split=legs,
        takes=_TRANSACTION,
        also_moves=derived(cash_key, "account_id", "symbol", "type"),
    ),
)
