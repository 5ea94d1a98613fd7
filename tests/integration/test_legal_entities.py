"""One Orion client with six registrations, through warehouse and identity to Salesforce: two people and three legal entities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from include.identity.resolve import resolve
from include.vendors.orion import ORION
from local.postgres import Postgres
from sandbox.firm.households import FOUNDATION, LLC
from tests.conftest import Firm, new_database
from tests.crm.conftest import ACCOUNTS, Crm
from tests.running_sandbox import LAST, Sandbox, run_sandbox

HOUSEHOLDS = 12
ORGANIZATIONS = (
    (LLC, "Sample Harbor Holdings LLC", "98-7654321"),
    (FOUNDATION, "Sample Harbor Family Foundation", "98-7654322"),
)
OWNERS = {"Individual": "person", "Joint Tenants WROS": "person", "Revocable Trust": "legal_entity"} | {
    kind.name: "legal_entity" for kind, *_ in ORGANIZATIONS
}


@dataclass
class Client:
    """An Orion client with an individual, a joint, a trust, an LLC and a foundation registration, and IRAs; each with accounts.

    Attributes:
        registrations: The vendor's rows.
        accounts: The vendor's rows.
    """

    crm: Crm
    firm: Firm
    key: int
    registrations: list[dict[str, Any]]
    accounts: list[dict[str, Any]]

    def count(self, entity: str) -> int:
        """Count the household's persons or legal entities, each once across its records."""
        return self.firm.database.value(
            f"select count(*) from warehouse.known_{entity} k join warehouse.household h using (household_id)"
            " where k.is_anchor and h.household_key = :key",
            key=str(self.key),
        )


def _add_organizations(sandbox: Sandbox) -> int:
    """Give a client with a trust and a joint registration an LLC and a foundation, each with an account; return the client's key."""
    by_client: dict[int, list[dict[str, Any]]] = {}
    for row in sandbox.rows("Portfolio/Registrations"):
        by_client.setdefault(row["clientId"], []).append(row)
    key = next(
        key
        for key, rows in by_client.items()
        if {"Revocable Trust", "Joint Tenants WROS"} <= {row["accountType"] for row in rows}
        and len(_find_spare(sandbox, key)) >= len(ORGANIZATIONS)
    )
    for (kind, name, employer_id), account in zip(ORGANIZATIONS, _find_spare(sandbox, key), strict=False):
        sandbox.admin("orion/add_registration", client_id=key, kind_id=kind.id, name=name, employer_id=employer_id)
        [new] = [row for row in sandbox.rows("Portfolio/Registrations") if row["name"] == name]
        sandbox.admin("orion/move_account", account_id=account, registration_id=new["id"])
    return key


def _find_spare(sandbox: Sandbox, key: int) -> list[int]:
    """Return a client's accounts that are the second one of their registration, and those of the spouse's retirement plan."""
    accounts = [
        row for row in sandbox.rows("Portfolio/Accounts") if row["clientId"] == key and row["sleeveType"] == "None"
    ]
    firsts = {row["registrationId"]: row["id"] for row in reversed(accounts) if row["accountType"] != "401(K)"}
    return [row["id"] for row in accounts if row["id"] not in firsts.values()]


@pytest.fixture(scope="module")
def client(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("entities")
    with new_database(postgres) as database, run_sandbox(folder / "sandbox", households=HOUSEHOLDS) as sandbox:
        key = _add_organizations(sandbox)
        firm = Firm(ORION, sandbox, database, folder)
        firm.day()
        resolve(firm.engine, (ORION,), "resolve", LAST)
        crm = Crm(database, sandbox, folder / "work")
        crm.sync()
        of_client = [
            [row for row in sandbox.rows(f"Portfolio/{table}") if row["clientId"] == key]
            for table in ("Registrations", "Accounts")
        ]
        yield Client(crm, firm, key, *of_client)
        crm.engine.dispose()
        firm.engine.dispose()


def test_a_client_of_many_registrations_is_two_people_and_three_legal_entities(client: Client) -> None:
    kinds = {row["accountType"] for row in client.accounts}
    assert kinds >= OWNERS.keys()
    assert any("IRA" in kind for kind in kinds)
    assert (client.count("person"), client.count("legal_entity")) == (2, 3)


def test_each_account_in_salesforce_is_owned_by_the_person_or_legal_entity_of_its_registration(client: Client) -> None:
    records = {record["Id"]: (key, record["Name"]) for key, record in client.crm.records("Account").items()}
    accounts = client.crm.records(ACCOUNTS)
    registrations = {row["id"]: row for row in client.registrations}
    for row in client.accounts:
        registration = registrations[row["registrationId"]]
        key, name = records[accounts[f"sample:orion:account:{row['id']}"]["FinServ__PrimaryOwner__c"]]
        entity = OWNERS.get(registration["accountType"], "person")
        person = f"{registration['firstName']} {registration['lastName']}"
        assert key.split(":")[2] == entity
        assert name == (registration["name"] if entity == "legal_entity" else person)


def test_the_net_worth_counts_each_account_once(client: Client) -> None:
    worth = client.firm.database.value(
        "select managed_usd from mart.net_worth n join warehouse.household h using (household_id) where h.household_key = :key",
        key=str(client.key),
    )
    counted = [row["currentValue"] for row in client.accounts if row["sleeveType"] != "CustodialAccount"]
    assert worth == sum(counted, Decimal(0))


def test_the_mart_lists_the_legal_entities_with_their_parties_and_accounts(client: Client) -> None:
    rows = client.firm.database.rows(
        "select * from mart.legal_entity where household_id ="
        " (select household_id from warehouse.household where household_key = :key)",
        key=str(client.key),
    )
    [trust] = [row for row in rows if row["entity_kind"] == "trust"]
    assert {row["entity_kind"] for row in rows} == {"trust", "company", "foundation"}
    assert sum(row["accounts"] for row in rows) == sum(
        OWNERS.get(row["accountType"]) == "legal_entity" for row in client.accounts
    )
    assert len({party["person_id"] for party in trust["parties"]} - {None}) == 2
