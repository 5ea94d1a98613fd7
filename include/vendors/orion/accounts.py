"""Orion's accounts and their owners."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from include.contract import (
    BOOLEAN,
    DATE,
    INTEGER,
    MONEY,
    PAIRS,
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
from include.vendors.orion.clients import JOINT, REGISTRATION, read_titles
from include.vendors.owners import Owner, add_owners, find_joint_owners
from include.vendors.registrations import is_entity, read_title

if TYPE_CHECKING:
    import pyarrow as pa


def owners(accounts: pa.Table, registrations: pa.Table) -> pa.Table:
    """Return the owners of each account: the person or legal entity of its registration; for a joint registration, also the other person.

    Orion has no list of joint owners, and identifies persons by registrations. So the other person is only found if the household has a
    registration of that person. Without the row of a registration, the account's own name and type show whether it is a legal entity's.
    """
    titles = {title["id"]: title for title in read_titles(registrations)}
    others = find_joint_owners(titles.values())
    rows = []
    for row, account in enumerate(accounts.to_pylist()):
        key, home, kind = account["registration_id"], account["client_id"], account["account_type"] or ""
        registration = titles[key]["registration"] if key in titles else read_title(account["name"], kind)
        if is_entity(registration):
            rows.append(Owner(row, home, None, Decimal(1), "primary", True, key))
            continue
        is_whole = key in others or not JOINT.search(kind)
        rows.append(Owner(row, home, key, Decimal(1), "primary", is_whole))
        if key in others:
            rows.append(Owner(row, None, others[key], Decimal(0), "joint", is_whole))
    return add_owners(accounts, rows)


def is_counted(sleeve_type: pa.Array) -> pa.Array:
    """Return whether an account counts in totals: false for a custodial account, because Orion also lists its sleeves.

    If both counted, the same assets would count twice.
    """
    import pyarrow.compute as pc

    return pc.fill_null(pc.not_equal(sleeve_type, "CustodialAccount"), True)


# --- tables: parents before children ---------------------------------------------------------------------------------

ACCOUNTS = Table(
    name="accounts",
    path="Portfolio/Accounts",
    key=("account_id",),
    pull="snapshot",
    dated={"asOfDate": "%Y-%m-%d"},
    shape=Offset("Id"),
    version="edited_at",
    money="current_value_usd",
    references={"registration_id": "registrations", "client_id": "clients"},
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
        *ignored("custodianCode, billStartDate, createdDate, createdBy, editedBy, clientGlobalId"),
        *ignored("registrationGlobalId, representative, representativeNumber, household, accountStatusDescription"),
        *ignored("shareClass, subAdvisor, plan, planName, provider, importKey, outsideId, secondaryAccountNumber"),
        *ignored("custodialRepCode, brokerDealer, businessLine, downloadSource, sleeveStrategy, feeSchedule"),
        *ignored("billFrequency, billPayMethod, riskScoreAsOfDate, riskScoreProvider, lastReconciledEffectiveDate"),
        *ignored("nickname, lastName"),
        *ignored("custodianId, managementStyleId, accountStatusId, fundFamilyId, shareClassId, subAdvisorId", INTEGER),
        *ignored("modelAggId, feeScheduleId, masterPayoutScheduleId, riskBudget, currentRiskScore", INTEGER),
        *ignored("targetRiskScore, riskTol, accountHistoryId", INTEGER),
        *ignored("accountStartValue", MONEY),
        *ignored("isSweepAccount, isTradingBlocked, isExcludedFromFirmAssets, isAdvReportable", BOOLEAN),
        *ignored("is13FReportable, isAuaReportable, isDataSharingEntity", BOOLEAN),
        *ignored("riskScore", QUANTITY),
        *ignored("additionalColumns", PAIRS),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

MAPS = (
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
            "is_counted": derived(is_counted, "sleeve_type"),
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
            "legal_entity_key": "legal_entity_id",
            "share_ratio": "share_ratio",
            "role": "role",
        },
        split=owners,
        takes=("account_id", "client_id", "registration_id", "name", "account_type"),
        beside={"registrations": Beside(REGISTRATION, is_optional=True)},
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
)
