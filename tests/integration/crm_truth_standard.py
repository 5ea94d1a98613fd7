"""The truth of an org with Financial Services Cloud's standard objects, in which a person is an account with a contact; see `crm_truth`."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from include.crm.settings import Settings
from tests.integration.crm_truth import (
    KEY,
    SINCE,
    Kind,
    Record,
    RowsOf,
    Truth,
    cut,
    each,
    link,
    link_owner,
    make_key,
    noon,
    round_to,
    worth,
)

_NOTHING = dict.fromkeys(("Shares", "MarketValue", "GainLoss"), Decimal(0))
_NO_MEMBER = dict.fromkeys(("IsActive", "IsPrimaryGroup", "IsIncludedInGroup"), False)


def household(row: Record) -> Record:
    return {
        "Tributary_Kind__c": "Household",
        "Name": cut(row["name"], 255),
        "Tributary_Category__c": cut(row["category"], 255),
        "Tributary_Status__c": {True: "Active", False: "Inactive", None: None}[row["is_active"]],
        "BillingStreet": cut(row["street"], 255),
        "BillingCity": cut(row["city"], 40),
        "BillingState": cut(row["state_code"], 80),
        "BillingPostalCode": cut(row["postal_code"], 20),
        "BillingCountry": cut(row["country"], 80),
        "Phone": cut(row["phone"], 40),
    }


def legal_entity(row: Record) -> Record:
    return {"Tributary_Kind__c": "Legal Entity", "Name": cut(row["name"], 255)}


def alert(row: Record) -> Record:
    return {
        "Message__c": row["rule"].replace("_", " "),
        "Details__c": cut(row["details"], 255),
        "Severity__c": {"critical": "Error", "warning": "Warning"}.get(row["severity"], "Info"),
        "Active__c": row["closed_at"] is None,
        f"Financial_Account__r.{KEY}": link("account", row["account_key"]),
    }


def _group(row: Record) -> Record:
    return {
        "Name": cut(row["name"], 80),
        f"Account.{KEY}": make_key("household", row["household_key"]),
        "Type": "Household",
    }


def _person(row: Record) -> Record:
    return {"Tributary_Kind__c": "Person", "Name": cut(row["name"], 255)}


def _contact(row: Record) -> Record:
    return {
        f"Account.{KEY}": make_key("person", row["person_key"]),
        "FirstName": cut(row["first_name"], 40),
        "LastName": cut(row["name"] if row["last_name"] is None else row["last_name"], 80),
        "Birthdate": row["birth_date"],
    }


def _memberships(rows: RowsOf) -> Iterator[tuple[str, Record]]:
    for row in rows["member"]:
        ends = {
            f"Contact.{KEY}": make_key("person", row["person_key"]),
            f"Account.{KEY}": make_key("household", row["house"]),
        }
        yield make_key("membership", f"{row['person_key']}:{row['house']}"), ends | dict.fromkeys(_NO_MEMBER, True)


def _securities(rows: RowsOf) -> Iterator[tuple[str, Record]]:
    """Return securities with unique names (ignoring case); the first one keeps the plain name."""
    taken: set[str] = set()
    for row in rows["security"]:
        name = cut(row["name"] or row["ticker"] or row["security_key"], 255)
        if (name or "").lower() in taken:
            name = f"{row['name'][:110]} (orion {row['security_key']})"
        taken.add((name or "").lower())
        record = {
            "Name": name,
            "Symbol": row["ticker"],
            "SecurityIdentifier": row["cusip"] if len(row["cusip"] or "") == 9 else None,
            "AssetClass": row["asset_class"],
        }
        yield make_key("security", row["security_key"]), record


def _account(row: Record) -> Record:
    return {
        "Name": cut(row["name"], 255),
        "FinancialAccountNumber": f"xxxx{row['account_number_last4'] or 'xxxx'}",
        "Type": "Investment Account",
        "Status": {True: "Active", False: "Closed", None: None}[row["is_active"]],
        "OpeningDate": row["open_date"],
        "ClosingDate": row["close_date"],
        f"Tributary_Household__r.{KEY}": link("household", row["house"]),
        "Tributary_Account_Type__c": cut(row["account_type"], 255),
        "Tributary_Managed__c": bool(row["is_managed"]),
        "Tributary_Discretionary__c": bool(row["is_discretionary"]),
        "Tributary_Balance__c": worth(row, row["market_value_usd"]),
        "Tributary_Cash_Balance__c": worth(row, row["cash_usd"]),
    }


def _owners(rows: RowsOf) -> Iterator[tuple[str, Record]]:
    previous = None
    for row in rows["owner"]:
        role, previous = "Joint Owner" if row["account_key"] == previous else "Owner", row["account_key"]
        record = {
            f"FinancialAccount.{KEY}": make_key("account", row["account_key"]),
            f"Account.{KEY}": link_owner(row["owner"]),
            "Role": role,
            "RoleEndDate": None,
        }
        yield make_key("account_owner", row["account_owner_key"]), record


def _position(row: Record) -> Record:
    value, cost = row["market_value_usd"], row["cost_basis_usd"]
    return {
        "Name": cut(row["name"] or row["ticker"], 255),
        f"FinancialAccount.{KEY}": link("account", row["account_key"]),
        f"FinancialSecurity.{KEY}": link("security", row["security_key"]),
        f"Household.{KEY}": link("household", row["house"]),
        "AssetClass": row["asset_class"],
        "Shares": round_to(row["quantity"], "0.0001"),
        "Price": round_to(row["price_usd"], "0.01"),
        "MarketValue": value,
        "GainLoss": None if value is None or cost is None else value - cost,
    }


def _transaction(row: Record) -> Record:
    amount = row["amount_usd"] or Decimal(0)
    return {
        f"FinancialAccount.{KEY}": link("account", row["account_key"]),
        "TransactionDate": noon(row["trade_date"]),
        "Amount": amount,
        "DebitCreditIndicator": "Debit" if amount < 0 else "Credit",
        "Status": "Booked" if row["status"] == "posted" else "Cancelled",
        "PostedDate": noon(row["settle_date"]),
        "Description": cut(row["description"] or row["transaction_type"], 255),
    }


def _alert(row: Record) -> Record:
    return alert(row) | {f"Account__r.{KEY}": link("household", row["house"])}


STANDARD = Truth(
    Settings("sample", shape="standard_objects", has_transactions=True, few=1_000_000),
    {
        "household": Kind("Account", "household", each("household", "household", household), once=("Tributary_Category__c", "Phone")),
        "relationship_group": Kind("PartyRelationshipGroup", "relationship_group", each("household", "relationship_group", _group)),
        "person": Kind("Account", "person", each("person", "person", _person)),
        "contact": Kind("Contact", "person", each("person", "person", _contact)),
        "membership": Kind("AccountContactRelation", "membership", _memberships, gone=_NO_MEMBER),
        "legal_entity": Kind("Account", "legal_entity", each("legal_entity", "legal_entity", legal_entity)),
        "security": Kind("FinancialSecurity", "security", _securities),
        "account": Kind("FinancialAccount", "account", each("account", "account", _account)),
        "account_owner": Kind("FinancialAccountParty", "account_owner", _owners, gone={"RoleEndDate": SINCE}),
        "account_role": Kind("FinancialAccountParty", "account_role", lambda rows: iter(())),
        "position": Kind("SecuritiesHolding", "position", each("position", "position", _position), gone=_NOTHING),
        "transaction": Kind("FinancialAccountTransaction", "transaction", each("transaction", "transaction", _transaction)),
        "finding": Kind("Tributary_Alert__c", "finding", each("finding", "finding", _alert, key="finding_id")),
    },
    {
        "units": "Shares", "status": "Status", "account household": "Tributary_Household__r.Tributary_Key__c",
        "position household": "Household.Tributary_Key__c", "transaction status": "Status", "amount": "Amount", "is open": "Active__c",
        "category": "Tributary_Category__c",
    },
)  # fmt: skip
