"""Orion Advisor (Orion Connect API, v1): households, accounts, positions and transactions.

Source of every field and parameter: the vendor's public Swagger document, developer guides and SDK samples. Not
checked against a live firm. Orion calls households clients, and positions assets.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

from include.contract import (
    BOOLEAN,
    DATE,
    INTEGER,
    MONEY,
    PAIRS,
    PRICE,
    QUANTITY,
    STRING,
    TIMESTAMP,
    Beside,
    Budget,
    EntityMap,
    Offset,
    Probe,
    SessionToken,
    Table,
    Vendor,
    column,
    derived,
    ignored,
    sensitive,
)
from include.vendors.arrays import looked_up, state_code
from include.vendors.owners import Owner, find_joint_owners, with_owners

if TYPE_CHECKING:
    import pyarrow as pa

# --- what only Orion needs: pure functions on Arrow arrays -----------------------------------------------------------

# Direction of each transaction type for the units of its asset; Orion sends amounts and units without a sign. The codes are
# a firm's own and not documented. A row with another code is a dead letter: the firm adds its code here and in the suite of
# the table.
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
# Types of joint registrations; the words are a firm's own.
JOINT = re.compile(r"\bjoint|\bjt|\btic\b|tenan|community property", re.IGNORECASE)
_TITLE = ("id", "home", "title", "first_name", "last_name", "account_type", "type_code", "birth_date", "tax_id_hash")


def signed(amount: pa.Array, type_code: pa.Array) -> pa.Array:
    """Give an unsigned amount or quantity the sign of its transaction type, which validation has checked."""
    import pyarrow.compute as pc

    return pc.if_else(pc.equal(looked_up(type_code, DIRECTIONS, 1), -1), pc.negate(amount), amount)


def status(values: pa.Array) -> pa.Array:
    """Map Orion's transaction status to the canonical one."""
    return looked_up(values, STATUSES, "other")


def flow(values: pa.Array) -> pa.Array:
    """Map Orion's financial type to the canonical flow; null if there is none."""
    import pyarrow.compute as pc

    is_none = pc.or_kleene(pc.is_null(values), pc.equal(values, "None"))
    return pc.if_else(is_none, None, looked_up(values, {k: v for k, v in FLOWS.items() if v}, "other"))


def unmasked(values: pa.Array) -> pa.Array:
    """Replace masked values (which our client id may not see) by null, so that they never replace real ones."""
    import pyarrow.compute as pc

    return pc.if_else(pc.match_substring_regex(values, r"[*]|X{3,}"), None, values)


def owners(accounts: pa.Table, registrations: pa.Table) -> pa.Table:
    """Return the owners of each account: the person of its registration and, for a joint one, the other person in its title.

    Orion has no list of joint owners. Registrations identify persons, so the other owner needs their own one in the household.
    """
    titles = [
        dict(zip(_TITLE, row.values(), strict=True))
        | {"is_joint": bool(JOINT.search(f"{row['type_code']} {row['account_type']}"))}
        for row in registrations.to_pylist()
    ]
    others = find_joint_owners(titles)
    rows = []
    for row, account in enumerate(accounts.to_pylist()):
        person, home = account["registration_id"], account["client_id"]
        is_whole = person in others or not JOINT.search(account["account_type"] or "")
        rows.append(Owner(row, home, person, Decimal(1), "primary", is_whole))
        if person in others:
            rows.append(Owner(row, None, others[person], Decimal(0), "joint", is_whole))
    return with_owners(accounts, rows)


def counted(sleeve_type: pa.Array) -> pa.Array:
    """Return false for a custodial account whose sleeves are also listed, so that its assets do not count twice."""
    import pyarrow.compute as pc

    return pc.fill_null(pc.not_equal(sleeve_type, "CustodialAccount"), True)


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
        ignored("repNo"),
        ignored("address1"),
        ignored("address2"),
        ignored("address3"),
        ignored("city"),
        ignored("state"),
        ignored("zip"),
        ignored("country"),
        ignored("riaId", INTEGER),
        ignored("riaName"),
        ignored("households", INTEGER),
        ignored("value", MONEY),
        ignored("createdDate"),
    ),
)

CLIENTS = Table(
    name="clients",
    path="Portfolio/Clients",
    key=("client_id",),
    parents={"representative_id": "representatives"},
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
        ignored("startDate"),  # a text in an undocumented format
        ignored("representativeName"),
        ignored("representativeNumber"),
        ignored("categoryId", INTEGER),
        ignored("statementDeliveryMethodId", INTEGER),
        ignored("createdBy"),
        ignored("editedBy"),
        ignored("importKey"),
        ignored("address3"),
        ignored("homePhoneExt"),
        ignored("businessPhone"),
        ignored("gender"),
        ignored("company"),
        ignored("jobTitle"),
        ignored("reportName"),
        ignored("personalId"),
        ignored("riskScore", QUANTITY),
    ),
)

REGISTRATIONS = Table(
    name="registrations",
    path="Portfolio/Registrations",
    key=("registration_id",),
    parents={"client_id": "clients"},
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
        sensitive("tax_id", "ssN_TaxID"),
        column("birth_date", "dob", DATE),
        column("gender", "gender", STRING),
        column("edited_at", "editedDate", TIMESTAMP),
        ignored("typeId", INTEGER),
        ignored("company"),
        ignored("jobTitle"),
        ignored("riskBudget", INTEGER),
        ignored("representativeName"),
        ignored("representativeNumber"),
        ignored("returnObjective"),
        ignored("investmentObjective"),
        ignored("timeHorizon"),
        ignored("stockPercent"),
        ignored("bondPercent"),
        ignored("createdDate"),
        ignored("createdBy"),
        ignored("editedBy"),
    ),
)

ACCOUNTS = Table(
    name="accounts",
    path="Portfolio/Accounts",
    key=("account_id",),
    pull="snapshot",
    dated={"asOfDate": "%Y-%m-%d"},
    shape=Offset("Id"),
    version="edited_at",
    money="current_value_usd",
    parents={"registration_id": "registrations", "client_id": "clients"},
    columns=(
        column("account_id", "id", INTEGER, required=True),
        column("name", "name", STRING),
        sensitive("account_number", "number"),
        column("account_type", "accountType", STRING),
        column("is_active", "isActive", BOOLEAN, required=True),
        column("custodian", "custodian", STRING),
        column("management_style", "managementStyle", STRING),
        column("current_value_usd", "currentValue", MONEY, rounded=True),
        column("cash_usd", "cashBalance", MONEY, rounded=True),
        column("start_date", "accountStartDate", DATE),
        column("cancel_date", "cancelDate", DATE),
        column("registration_id", "registrationId", INTEGER, required=True),
        column("client_id", "clientId", INTEGER, required=True),
        column("representative_id", "representativeId", INTEGER),
        column("account_status", "accountStatus", STRING),
        column("fund_family", "fundFamily", STRING),
        column("model_name", "modelName", STRING),
        column("is_managed", "isManaged", BOOLEAN),
        column("is_discretionary", "isDiscretionary", BOOLEAN),
        column("is_sleeve", "isSleeveAccount", BOOLEAN),
        column("sleeve_type", "sleeveType", STRING),
        column("is_qualified", "isQualified", BOOLEAN),
        column("is_unfunded", "isUnfunded", BOOLEAN),
        column("last_position_date", "lastPositionDate", DATE),
        column("is_in_balance", "inBalance", BOOLEAN),
        column("edited_at", "editedDate", TIMESTAMP),
        ignored("custodianCode"),
        ignored("custodianId", INTEGER),
        ignored("managementStyleId", INTEGER),
        ignored("accountStartValue", MONEY),
        ignored("billStartDate"),
        ignored("createdDate"),
        ignored("createdBy"),
        ignored("editedBy"),
        ignored("clientGlobalId"),
        ignored("registrationGlobalId"),
        ignored("representative"),
        ignored("representativeNumber"),
        ignored("household"),
        ignored("accountStatusId", INTEGER),
        ignored("accountStatusDescription"),
        ignored("fundFamilyId", INTEGER),
        ignored("shareClass"),
        ignored("shareClassId", INTEGER),
        ignored("subAdvisor"),
        ignored("subAdvisorId", INTEGER),
        ignored("modelAggId", INTEGER),
        ignored("plan"),
        ignored("planName"),
        ignored("provider"),
        ignored("importKey"),
        ignored("outsideId"),
        ignored("secondaryAccountNumber"),
        ignored("custodialRepCode"),
        ignored("brokerDealer"),
        ignored("businessLine"),
        ignored("downloadSource"),
        ignored("isSweepAccount", BOOLEAN),
        ignored("sleeveStrategy"),
        ignored("isTradingBlocked", BOOLEAN),
        ignored("isExcludedFromFirmAssets", BOOLEAN),
        ignored("isAdvReportable", BOOLEAN),
        ignored("is13FReportable", BOOLEAN),
        ignored("isAuaReportable", BOOLEAN),
        ignored("isDataSharingEntity", BOOLEAN),
        ignored("feeScheduleId", INTEGER),
        ignored("feeSchedule"),
        ignored("masterPayoutScheduleId", INTEGER),
        ignored("billFrequency"),
        ignored("billPayMethod"),
        ignored("riskBudget", INTEGER),
        ignored("riskScore", QUANTITY),
        ignored("currentRiskScore", INTEGER),
        ignored("targetRiskScore", INTEGER),
        ignored("riskScoreAsOfDate"),
        ignored("riskScoreProvider"),
        ignored("riskTol", INTEGER),
        ignored("accountHistoryId", INTEGER),
        ignored("lastReconciledEffectiveDate"),
        ignored("additionalColumns", PAIRS),
        ignored("nickname"),
        ignored("lastName"),
    ),
)

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
    parents={"account_id": "accounts"},
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
        ignored("accountNumber"),
        ignored("secondaryAccountNumber"),
        ignored("productCategoryAbbreviation"),
        ignored("productSubType"),
        ignored("status", INTEGER),
        ignored("registrationId", INTEGER),
        ignored("clientId", INTEGER),
        ignored("registrationName"),
        ignored("accountType"),
        ignored("fundFamily"),
        ignored("custodian"),
        ignored("managementStyle"),
        ignored("sleeveType"),
        ignored("downloadSymbol"),
        ignored("createdDate"),
        ignored("createdBy"),
        ignored("editedBy"),
        ignored("isFeeExcluded", BOOLEAN),
        ignored("excludeAmountType"),
        ignored("excludeAmount", QUANTITY),
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
    parents={"account_id": "accounts"},
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
        ignored("transTime"),
        column("product_name", "productName", STRING),
        column("ticker", "ticker", STRING),
        column("cusip", "cusip", STRING),
        ignored("unitBalance", QUANTITY),
        ignored("accountNumber"),
        ignored("accountStatusId", INTEGER),
        ignored("accountType"),
        ignored("assetStatusId", INTEGER),
        ignored("registrationId", INTEGER),
        ignored("registrationName"),
        ignored("clientId", INTEGER),
        ignored("transTypeId", INTEGER),
        ignored("transactionSubTypeId", INTEGER),
        ignored("transactionSubTypeName"),
        ignored("transactionSubTypeDescription"),
        ignored("contributionCodeId", INTEGER),
        ignored("contributionCodeName"),
        ignored("distributionCodeId", INTEGER),
        ignored("distributionCodeName"),
        ignored("fileTranCode"),
        ignored("brokerCode"),
        ignored("custodian"),
        ignored("fundFamily"),
        ignored("managementStyle"),
        ignored("payee"),
        ignored("state"),
        ignored("notes"),
        ignored("advisorNotes"),
        ignored("tradeReferenceNumber"),
        ignored("performanceFeeBreak", BOOLEAN),
        ignored("count", INTEGER),
        ignored("createdBy"),
        ignored("editedBy"),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

# fmt: off
_REGISTRATION = (
    "registration_id", "client_id", "name", "first_name", "last_name", "account_type", "type_code", "birth_date", "tax_id_hash",
)
# fmt: on

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
            "person_key": "registration_id",
            "name": "name",
            "registration_type": "account_type",
            "is_active": "is_active",
        },
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
    ),
    EntityMap(
        "account",
        "accounts",
        {
            "account_key": "account_id",
            "registration_key": "registration_id",
            "household_key": "client_id",
            "representative_key": "representative_id",
            "name": "name",
            "account_number_hash": "account_number_hash",
            "account_number_last4": "account_number_last4",
            "account_type": "account_type",
            "custodian": "custodian",
            "management_style": "management_style",
            "status": "account_status",
            "open_date": "start_date",
            "close_date": "cancel_date",
            "is_active": "is_active",
            "is_managed": "is_managed",
            "is_discretionary": "is_discretionary",
            "is_sleeve": "is_sleeve",
            "is_counted": derived(counted, "sleeve_type"),
        },
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
        takes=("account_id", "client_id", "registration_id", "account_type"),
        beside={"registrations": Beside(_REGISTRATION, is_optional=True)},
    ),
    EntityMap(
        "account_value",
        "accounts",
        {
            "account_value_key": "account_id",
            "account_key": "account_id",
            "market_value_usd": "current_value_usd",
            "cash_usd": "cash_usd",
        },
    ),
    EntityMap(
        "security",
        "assets",
        {
            "security_key": "product_id",
            "name": "name",
            "ticker": "ticker",
            "cusip": derived(unmasked, "cusip"),
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
            "cusip": derived(unmasked, "cusip"),
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
            "quantity": derived(signed, "quantity", "type_code"),
            "price_usd": "price_usd",
            "amount_usd": derived(signed, "amount_usd", "type_code"),
            "description": "description",
            "edited_at": "edited_at",
        },
    ),
)

ORION = Vendor(
    name="orion",
    title="Orion Advisor",
    notes=__doc__,
    # Source: the vendor's guide "Basic authentication". A refusal is 401 with an empty body.
    login=SessionToken("security/token", "Session"),
    tables=(REPRESENTATIVES, CLIENTS, REGISTRATIONS, ACCOUNTS, ASSETS, TRANSACTIONS),
    maps=MAPS,
    cron="0 6 * * 1-5",
    live="*/5 7-20 * * 1-5",  # Orion's push to others is not live yet, and few tables support edit windows
    zone="America/Chicago",
    ranks={"": 10},
    # Orion publishes no limit; this limit is ours, and the connection may lower it.
    budget=Budget(calls_per_minute=600, burst=30),
    closed=Probe(
        path="Portfolio/Accounts",
        params={"isActive": "true", "hasValue": "true", "$orderby": "LastPositionDate"},
        field="lastPositionDate",
        tolerated=5,
    ),
    correlation_header="X-OAS-CorrelationId",
    sentinels=("0001-01-01", "1900-01-01"),
)
