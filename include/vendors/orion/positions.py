"""Orion's assets (positions) and transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.contract import (
    BOOLEAN,
    DATE,
    INTEGER,
    MONEY,
    PRICE,
    QUANTITY,
    STRING,
    TIMESTAMP,
    EntityMap,
    Offset,
    Table,
    column,
    derived,
    ignored,
)
from include.vendors.arrays import look_up

if TYPE_CHECKING:
    import pyarrow as pa

# Whether a transaction type increases (1) or decreases (-1) the units of its asset; Orion sends amounts and units without a sign. The
# codes are not documented, and firms choose them. A row with another code becomes a dead letter; the firm adds the code here and in the
# suite of the table.
DIRECTIONS = {
    "BUY": 1, "CON": 1, "DIV": 1, "DRI": 1, "TIN": 1, "SPL": 1, "CCR": 1, "INT": 1,
    "SEL": -1, "DST": -1, "FEE": -1, "TOT": -1, "CDB": -1,
}  # fmt: skip
# Orion's documented statuses -> canonical ones; the suite has the same list. Only posted rows count.
STATUSES = {
    "Complete": "posted",
    "Pending": "pending",
    "PendingCorpAction": "pending",
    "FutureAip": "pending",
    "Reversed": "reversed",
    "Inactive": "cancelled",
    "Rejected": "cancelled",
}
# Orion's documented financial types -> canonical flow. Samples have others, so any other type is `other`.
FLOWS = {
    "None": None,
    "Contribution": "contribution",
    "Distribution": "distribution",
    "MgmntFees": "fee",
    "MiscFees": "fee",
    "DivCash": "income",
    "DivReinvest": "income",
    "Journal": "transfer",
    "Exchange": "other",
    "Merges": "other",
}


def apply_sign(amount: pa.Array, type_code: pa.Array) -> pa.Array:
    """Return an unsigned amount or quantity with the sign of its transaction type (`DIRECTIONS`). Validation has checked the type."""
    import pyarrow.compute as pc

    return pc.if_else(pc.equal(look_up(type_code, DIRECTIONS, 1), -1), pc.negate(amount), amount)


def status(values: pa.Array) -> pa.Array:
    """Map Orion's transaction status to the canonical one; an unknown status is `other`."""
    return look_up(values, STATUSES, "other")


def flow(values: pa.Array) -> pa.Array:
    """Map Orion's financial type to the canonical flow: null for null or `None`, `other` for an unknown type."""
    import pyarrow.compute as pc

    is_none = pc.or_kleene(pc.is_null(values), pc.equal(values, "None"))
    return pc.if_else(is_none, None, look_up(values, {k: v for k, v in FLOWS.items() if v}, "other"))


def remove_masked(values: pa.Array) -> pa.Array:
    """Replace masked values by null, so that they never overwrite real values. Orion masks what our client id may not see."""
    import pyarrow.compute as pc

    return pc.if_else(pc.match_substring_regex(values, r"[*]|X{3,}"), None, values)


# --- tables: parents before children ---------------------------------------------------------------------------------

ASSETS = Table(
    name="assets",
    path="Portfolio/Assets",
    key=("asset_id",),
    pull="snapshot",
    params={"includeCostBasis": "true"},  # cost basis is null without it; slower with it, according to the vendor
    dated={"asOfDate": "%Y-%m-%d"},
    shape=Offset("Id"),
    version="edited_at",
    money="market_value_usd",
    references={"account_id": "accounts"},
    agrees=("account_id", "accounts", "current_value_usd"),
    as_of="as_of_date",
    columns=(
        column("asset_id", "id", INTEGER, required=True),
        column("name", "name", STRING),
        column("ticker", "ticker", STRING),
        column("cusip", "cusip", STRING),
        column("quantity", "currentShares", QUANTITY, required=True),
        column("market_value_usd", "currentValue", MONEY, required=True, rounded=True),
        column("price_usd", "currentPrice", PRICE),
        column("cost_basis_usd", "costBasis", MONEY, rounded=True),
        column("is_managed", "isManaged", BOOLEAN),
        column("asset_class", "assetClass", STRING),
        column("product_category", "productCategory", STRING),
        column("is_cash", "isCustodialCash", BOOLEAN),
        column("product_id", "productId", INTEGER, required=True),
        column("product_type", "productType", STRING),
        column("account_id", "accountId", INTEGER, required=True),
        column("as_of_date", "asOfDate", DATE),
        column("is_active", "isActive", BOOLEAN),
        column("edited_at", "editedDate", TIMESTAMP),
        *ignored("accountNumber, secondaryAccountNumber, productCategoryAbbreviation, productSubType"),
        *ignored("registrationName, accountType, fundFamily, custodian, managementStyle, sleeveType, downloadSymbol"),
        *ignored("createdDate, createdBy, editedBy, excludeAmountType"),
        *ignored("status, registrationId, clientId", INTEGER),
        *ignored("isFeeExcluded", BOOLEAN),
        *ignored("excludeAmount", QUANTITY),
    ),
)

TRANSACTIONS = Table(
    name="transactions",
    path="Portfolio/Transactions",
    key=("transaction_id",),
    pull="window",
    dated={"startDate": "%Y-%m-%d", "endDate": "%Y-%m-%d"},
    edited=("editedStartDate", "editedEndDate"),
    shape=Offset("Id"),
    version="edited_at",
    money="amount_usd",
    references={"account_id": "accounts"},
    columns=(
        column("transaction_id", "id", INTEGER, required=True),
        column("trade_date", "transDate", DATE, required=True),
        column("settle_date", "settleDate", DATE),
        column("description", "transactionDescription", STRING),
        column("product_id", "productId", INTEGER, required=True),
        column("amount_usd", "transAmount", MONEY, required=True, rounded=True),
        column("quantity", "noUnits", QUANTITY, required=True),
        column("price_usd", "navPrice", PRICE),
        column("account_id", "accountId", INTEGER, required=True),
        column("asset_id", "assetId", INTEGER, required=True),
        column("status", "status", STRING, required=True),
        column("type", "type", STRING),
        column("type_code", "typeCode", STRING, required=True),
        column("financial_type", "financialType", STRING),
        column("link_code", "transactionLinkCode", STRING),
        column("created_at", "createdDate", TIMESTAMP),
        column("edited_at", "editedDate", TIMESTAMP),
        column("product_name", "productName", STRING),
        column("ticker", "ticker", STRING),
        column("cusip", "cusip", STRING),
        *ignored("transTime, accountNumber, accountType, registrationName, transactionSubTypeName"),
        *ignored("transactionSubTypeDescription, contributionCodeName, distributionCodeName, fileTranCode, brokerCode"),
        *ignored("custodian, fundFamily, managementStyle, payee, state, notes, advisorNotes, tradeReferenceNumber"),
        *ignored("createdBy, editedBy"),
        *ignored("unitBalance", QUANTITY),
        *ignored("accountStatusId, assetStatusId, registrationId, clientId, transTypeId", INTEGER),
        *ignored("transactionSubTypeId, contributionCodeId, distributionCodeId, count", INTEGER),
        *ignored("performanceFeeBreak", BOOLEAN),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

MAPS = (
    EntityMap(
        "security",
        "assets",
        {
            "security_key": "product_id",
            "name": "name",
            "ticker": "ticker",
            "cusip": derived(remove_masked, "cusip"),
            "asset_class": "asset_class",
            "category": "product_category",
            "security_type": "product_type",
        },
        merged=True,
    ),
    EntityMap(
        "position",
        "assets",
        {
            "position_key": "asset_id",
            "account_key": "account_id",
            "security_key": "product_id",
            "quantity": "quantity",
            "price_usd": "price_usd",
            "market_value_usd": "market_value_usd",
            "cost_basis_usd": "cost_basis_usd",
            "is_cash": "is_cash",
        },
    ),
    EntityMap(
        "security",
        "transactions",
        {
            "security_key": "product_id",
            "name": "product_name",
            "ticker": "ticker",
            "cusip": derived(remove_masked, "cusip"),
        },
        merged=True,
        is_partial=True,
    ),
    EntityMap(
        "transaction",
        "transactions",
        {
            "transaction_key": "transaction_id",
            "account_key": "account_id",
            "security_key": "product_id",
            "position_key": "asset_id",
            "trade_date": "trade_date",
            "settle_date": "settle_date",
            "transaction_type": "type",
            "type_code": "type_code",
            "flow": derived(flow, "financial_type"),
            "status": derived(status, "status"),
            "quantity": derived(apply_sign, "quantity", "type_code"),
            "price_usd": "price_usd",
            "amount_usd": derived(apply_sign, "amount_usd", "type_code"),
            "description": "description",
            "edited_at": "edited_at",
        },
    ),
)
