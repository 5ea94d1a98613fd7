"""The truth of a plain org, without Financial Services Cloud; see `crm_truth`."""

from __future__ import annotations

from decimal import Decimal

from include.crm.settings import Settings
from tests.integration.crm_truth import (
    KEY,
    LEFT,
    Kind,
    Record,
    Truth,
    cut,
    each,
    link,
    link_owner,
    round_to,
    worth,
)
from tests.integration.crm_truth_standard import alert, household, legal_entity

_NOTHING = dict.fromkeys(("Units__c", "Market_Value__c", "Gain_Loss__c"), Decimal(0))


def _person(row: Record) -> Record:
    return {
        f"Account.{KEY}": LEFT if row["house"] is None else link("household", row["house"]),
        "FirstName": cut(row["first_name"], 40),
        "LastName": cut(row["name"] if row["last_name"] is None else row["last_name"], 80),
        "Birthdate": row["birth_date"],
        "Tributary_Member__c": row["house"] is not None,
    }


def _security(row: Record) -> Record:
    return {
        "Name": cut(row["ticker"] or row["cusip"] or row["security_key"], 80),
        "Security_Name__c": cut(row["name"], 255),
        "CUSIP__c": row["cusip"] if len(row["cusip"] or "") == 9 else None,
        "Asset_Class__c": row["asset_class"],
    }


def _account(row: Record) -> Record:
    owners = [*row["owners"], None, None][:2]
    people = [link_owner(each) if each and each.startswith("person:") else None for each in owners]
    entities = [link_owner(each) if each and each.startswith("legal_entity:") else None for each in owners]
    return {
        "Name": cut(row["name"], 80),
        f"Household__r.{KEY}": link("household", row["house"]),
        f"Primary_Owner__r.{KEY}": people[0],
        f"Joint_Owner__r.{KEY}": people[1],
        f"Owning_Entity__r.{KEY}": entities[0],
        f"Joint_Owning_Entity__r.{KEY}": entities[1],
        "Account_Type__c": cut(row["account_type"], 255),
        "Account_Number__c": row["account_number_last4"] and f"xxxx{row['account_number_last4']}",
        "Status__c": {True: "Open", False: "Closed", None: None}[row["is_active"]],
        "Open_Date__c": row["open_date"],
        "Close_Date__c": row["close_date"],
        "Managed__c": bool(row["is_managed"]),
        "Discretionary__c": bool(row["is_discretionary"]),
        "Balance__c": worth(row, row["market_value_usd"]),
        "Cash_Balance__c": worth(row, row["cash_usd"]),
    }


def _position(row: Record) -> Record:
    value, cost = row["market_value_usd"], row["cost_basis_usd"]
    return {
        "Name": cut(row["name"] or row["ticker"], 80),
        f"Financial_Account__r.{KEY}": link("account", row["account_key"]),
        f"Security__r.{KEY}": link("security", row["security_key"]),
        f"Household__r.{KEY}": link("household", row["house"]),
        "Asset_Class__c": row["asset_class"],
        "Units__c": round_to(row["quantity"], "0.000001"),
        "Price__c": round_to(row["price_usd"], "0.000001"),
        "Market_Value__c": value,
        "Gain_Loss__c": None if value is None or cost is None else value - cost,
    }


def _transaction(row: Record) -> Record:
    amount = row["amount_usd"] or Decimal(0)
    return {
        f"Financial_Account__r.{KEY}": link("account", row["account_key"]),
        "Trade_Date__c": row["trade_date"],
        "Amount__c": amount,
        "Direction__c": "Debit" if amount < 0 else "Credit",
        "Status__c": "Posted" if row["status"] == "posted" else "Cancelled",
        "Settlement_Date__c": row["settle_date"],
        "Description__c": cut(row["description"] or row["transaction_type"], 255),
    }


def _alert(row: Record) -> Record:
    return alert(row) | {f"Household__r.{KEY}": link("household", row["house"]), f"Person__r.{KEY}": None}


PLAIN = Truth(
    Settings("sample", shape="plain", has_transactions=True, few=1_000_000),
    {
        "household": Kind("Account", "household", each("household", "household", household), once=("Tributary_Category__c", "Phone")),
        "person": Kind("Contact", "person", each("person", "person", _person), gone={"Tributary_Member__c": False}),
        "legal_entity": Kind("Account", "legal_entity", each("legal_entity", "legal_entity", legal_entity)),
        "security": Kind("Tributary_Security__c", "security", each("security", "security", _security)),
        "account": Kind("Tributary_Account__c", "account", each("account", "account", _account)),
        "account_role": Kind("Tributary_Account_Role__c", "account_role", lambda rows: iter(())),
        "position": Kind("Tributary_Holding__c", "position", each("position", "position", _position), gone=_NOTHING),
        "transaction": Kind("Tributary_Transaction__c", "transaction", each("transaction", "transaction", _transaction)),
        "finding": Kind("Tributary_Alert__c", "finding", each("finding", "finding", _alert, key="finding_id")),
    },
    {
        "units": "Units__c", "status": "Status__c", "account household": "Household__r.Tributary_Key__c",
        "position household": "Household__r.Tributary_Key__c", "transaction status": "Status__c", "amount": "Amount__c",
        "is open": "Active__c", "category": "Tributary_Category__c",
    },
)  # fmt: skip
