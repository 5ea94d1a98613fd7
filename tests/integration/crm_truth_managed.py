"""The truth of an org with Financial Services Cloud's managed package; see `crm_truth`."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from include.crm.settings import Settings
from tests.integration.crm_truth import (
    KEY,
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

ACCOUNTS = "FinServ__FinancialAccount__c"
_NOTHING = dict.fromkeys(("FinServ__Shares__c", "FinServ__MarketValue__c", "FinServ__GainLoss__c"), Decimal(0))
_NO_MEMBER = dict.fromkeys(("IsActive", "FinServ__PrimaryGroup__c", "FinServ__IncludeInGroup__c"), False)


def _household(row: Record) -> Record:
    return {
        "RecordType.DeveloperName": "IndustriesHousehold",
        "FinServ__IndividualType__c": "Group",
        "Name": cut(row["name"], 255),
        "FinServ__ClientCategory__c": cut(row["category"], 255),
        "FinServ__Status__c": {True: "Active", False: "Inactive", None: None}[row["is_active"]],
        "BillingStreet": cut(row["street"], 255),
        "BillingCity": cut(row["city"], 40),
        "BillingState": cut(row["state_code"], 80),
        "BillingPostalCode": cut(row["postal_code"], 20),
        "BillingCountry": cut(row["country"], 80),
        "Phone": cut(row["phone"], 40),
    }


def _person(row: Record) -> Record:
    fixed = {"RecordType.DeveloperName": "IndustriesIndividual", "FinServ__IndividualType__c": "Individual"}
    return fixed | {"Name": cut(row["name"], 255)}


def _legal_entity(row: Record) -> Record:
    return {"RecordType.DeveloperName": "IndustriesBusiness", "Name": cut(row["name"], 255)}


def _contact(row: Record) -> Record:
    return {
        f"Account.{KEY}": make_key("person", row["person_key"]),
        "FirstName": cut(row["first_name"], 40),
        "LastName": cut(row["name"] if row["last_name"] is None else row["last_name"], 80),
        "Birthdate": row["birth_date"],
    }


def _memberships(rows: RowsOf) -> Iterator[tuple[str, Record]]:
    for row in rows["member"]:
        yield make_key("membership", f"{row['person_key']}:{row['house']}"), _membership(row)


def _membership(row: Record) -> Record:
    record = {
        f"Contact.{KEY}": make_key("person", row["person_key"]),
        f"Account.{KEY}": make_key("household", row["house"]),
        "Roles": "Client",
    }
    return record | dict.fromkeys(_NO_MEMBER, True)


def _securities(rows: RowsOf) -> Iterator[tuple[str, Record]]:
    """Return securities with unique names (ignoring case); the first one keeps the plain name."""
    taken: set[str] = set()
    for row in rows["security"]:
        name = cut(row["name"], 150)
        if name is not None and name.lower() in taken:
            name = f"{row['name'][:110]} (orion {row['security_key']})"
        taken.add((name or "").lower())
        yield (
            make_key("security", row["security_key"]),
            {
                "Name": cut(row["ticker"] or row["cusip"] or row["security_key"], 80),
                "FinServ__SecuritiesName__c": name,
                "FinServ__CUSIP__c": row["cusip"] if len(row["cusip"] or "") == 9 else None,
                "FinServ__AssetClass__c": row["asset_class"],
            },
        )


def _account(row: Record) -> Record:
    owners = [*row["owners"], None, None]
    return {
        "RecordType.DeveloperName": "InvestmentAccount",
        "Name": cut(row["name"], 80),
        f"FinServ__PrimaryOwner__r.{KEY}": link_owner(owners[0]),
        f"FinServ__JointOwner__r.{KEY}": link_owner(owners[1]),
        f"FinServ__Household__r.{KEY}": link("household", row["house"]),
        "FinServ__FinancialAccountType__c": cut(row["account_type"], 255),
        "FinServ__FinancialAccountNumber__c": row["account_number_last4"] and f"xxxx{row['account_number_last4']}",
        "FinServ__Status__c": {True: "Open", False: "Closed", None: None}[row["is_active"]],
        "FinServ__OpenDate__c": row["open_date"],
        "FinServ__CloseDate__c": row["close_date"],
        "FinServ__Managed__c": bool(row["is_managed"]),
        "FinServ__Discretionary__c": bool(row["is_discretionary"]),
        "FinServ__Balance__c": worth(row, row["market_value_usd"]),
        "FinServ__CashBalance__c": worth(row, row["cash_usd"]),
    }


def _position(row: Record) -> Record:
    value, cost = row["market_value_usd"], row["cost_basis_usd"]
    return {
        "Name": cut(row["name"] or row["ticker"], 80),
        f"FinServ__FinancialAccount__r.{KEY}": link("account", row["account_key"]),
        f"FinServ__Securities__r.{KEY}": link("security", row["security_key"]),
        f"FinServ__Household__r.{KEY}": link("household", row["house"]),
        "FinServ__AssetClass__c": row["asset_class"],
        "FinServ__Shares__c": round_to(row["quantity"], "0.0001"),
        "FinServ__Price__c": round_to(row["price_usd"], "0.0001"),
        "FinServ__MarketValue__c": value,
        "FinServ__GainLoss__c": None if value is None or cost is None else value - cost,
    }


def _transaction(row: Record) -> Record:
    amount = row["amount_usd"] or Decimal(0)
    return {
        f"FinServ__FinancialAccount__r.{KEY}": link("account", row["account_key"]),
        "FinServ__TransactionDate__c": noon(row["trade_date"]),
        "FinServ__Amount__c": amount,
        "FinServ__TransactionType__c": "Debit" if amount < 0 else "Credit",
        "FinServ__TransactionStatus__c": "Posted" if row["status"] == "posted" else "Cancelled",
        "FinServ__PostDate__c": noon(row["settle_date"]),
        "FinServ__Description__c": cut(row["description"] or row["transaction_type"], 255),
    }


def _alert(row: Record) -> Record:
    return {
        "FinServ__Message__c": row["rule"].replace("_", " "),
        "FinServ__MessageDescription__c": cut(row["details"], 255),
        "FinServ__Severity__c": {"critical": "Error", "warning": "Warning"}.get(row["severity"], "Info"),
        "FinServ__Active__c": row["closed_at"] is None,
        f"FinServ__Account__r.{KEY}": link("household", row["house"]),
        f"FinServ__FinancialAccount__r.{KEY}": link("account", row["account_key"]),
    }


MANAGED = Truth(
    Settings("sample", has_transactions=True, few=1_000_000),
    {
        "household": Kind("Account", "household", each("household", "household", _household), once=("FinServ__ClientCategory__c", "Phone")),
        "person": Kind("Account", "person", each("person", "person", _person)),
        "contact": Kind("Contact", "person", each("person", "person", _contact)),
        "membership": Kind("AccountContactRelation", "membership", _memberships, gone=_NO_MEMBER),
        "legal_entity": Kind("Account", "legal_entity", each("legal_entity", "legal_entity", _legal_entity)),
        "security": Kind("FinServ__Securities__c", "security", _securities),
        "account": Kind(ACCOUNTS, "account", each("account", "account", _account)),
        # The titles of the invented firm name grantors, and no trustees.
        "account_role": Kind("FinServ__FinancialAccountRole__c", "account_role", lambda rows: iter(())),
        "position": Kind("FinServ__FinancialHolding__c", "position", each("position", "position", _position), gone=_NOTHING),
        "transaction": Kind("FinServ__FinancialAccountTransaction__c", "transaction", each("transaction", "transaction", _transaction)),
        "finding": Kind("FinServ__Alert__c", "finding", each("finding", "finding", _alert, key="finding_id")),
    },
    {
        "units": "FinServ__Shares__c", "status": "FinServ__Status__c", "account household": "FinServ__Household__r.Tributary_Key__c",
        "position household": "FinServ__Household__r.Tributary_Key__c", "transaction status": "FinServ__TransactionStatus__c",
        "amount": "FinServ__Amount__c", "is open": "FinServ__Active__c", "category": "FinServ__ClientCategory__c",
    },
)  # fmt: skip
