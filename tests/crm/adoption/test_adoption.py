"""An org that is full already: our key is written onto its records, and no second record is created."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from include.crm.adoption import adopt
from include.crm.firm_changes import ObjectChange
from include.errors import InputRejected
from tests.crm.adoption.typed_org import TypedOrg, list_homes
from tests.crm.conftest import ACCOUNTS, KEY_FIELD, Crm


@pytest.fixture
def homes(org: TypedOrg) -> list[dict[str, Any]]:
    return list_homes(org.crm)


def couple(homes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a household of at least two persons."""
    return next(home for home in homes if len(home["persons"]) > 1)


def names(records: dict[str, dict[str, Any]]) -> Counter[str]:
    return Counter(each["Name"] for each in records.values())


def test_a_client_who_is_in_the_org_gets_our_key_and_no_second_record(
    org: TypedOrg, homes: list[dict[str, Any]]
) -> None:
    home = couple(homes)
    household_id = org.add_household(home)
    ids = {person["key"]: org.add_person(person, household_id) for person in home["persons"]}

    outcomes = org.compare()
    org.adopt("household", "person")
    org.crm.sync()

    assert set(outcomes.values()) == {"matched"}
    accounts, contacts = org.read("Account"), org.read("Contact")
    assert accounts[household_id][KEY_FIELD] == home["key"]
    for key, (account_id, contact_id) in ids.items():
        assert (accounts[account_id][KEY_FIELD], contacts[contact_id][KEY_FIELD]) == (key, key)
    keys = Counter(each.get(KEY_FIELD) for each in (*accounts.values(), *contacts.values()))
    assert all(keys[key] == 2 for key in ids)
    assert org.held() == {}


def test_nothing_is_written_and_the_client_is_not_created_before_a_person_approves(
    org: TypedOrg, homes: list[dict[str, Any]]
) -> None:
    home = couple(homes)
    household_id = org.add_household(home)
    for person in home["persons"]:
        org.add_person(person, household_id)
    before = org.read_all()

    org.crm.sync()

    after = org.read_all()
    assert {id_: after[id_] for id_ in before} == before
    assert home["key"] not in {each.get(KEY_FIELD) for each in after.values()}
    assert org.held() == {"household": 1, "person": len(home["persons"]), "contact": len(home["persons"])}


def test_clients_who_are_not_in_the_org_are_created_meanwhile(org: TypedOrg, homes: list[dict[str, Any]]) -> None:
    org.add_household(couple(homes))

    counts = org.crm.sync()

    assert counts["household"].created == len(homes) - 1


def test_a_record_that_is_no_client_is_left_alone(org: TypedOrg) -> None:
    unrelated = org.add("Account", "IndustriesBusiness", Name="Quite Another Bakery LLC")
    contact_id = org.add("Contact", LastName="Elsewhere", FirstName="Nina", Birthdate="1990-04-05")
    before = org.read_all()

    outcomes = org.compare()
    org.adopt("household", "person", "legal_entity", "account")
    org.crm.sync()

    assert outcomes == {unrelated: "unmatched", contact_id: "unmatched"}
    after = org.read_all()
    assert (after[unrelated], after[contact_id]) == (before[unrelated], before[contact_id])


def test_what_users_typed_stays_over_three_syncs_and_gives_way_to_a_newer_value_of_the_vendor(
    org: TypedOrg, homes: list[dict[str, Any]]
) -> None:
    home = couple(homes)
    household_id = org.add_household(home, BillingStreet="9 Newer Lane", Phone="555-0100")
    for person in home["persons"]:
        org.add_person(person, household_id)
    org.compare()
    org.adopt("household", "person")
    for _ in range(3):
        org.crm.sync()
    typed = org.read("Account")[household_id]
    org.crm.database.do(
        "update warehouse.household set street = '7 Vendor Road' where recorded_to is null and valid_to is null"
        " and household_id in (select household_id from warehouse.known_household where identity_id = :id)",
        id=home["identity_id"],
    )
    org.crm.sync()

    assert (typed["BillingStreet"], typed["Phone"]) == ("9 Newer Lane", "555-0100")
    assert org.read("Account")[household_id]["BillingStreet"] == "7 Vendor Road"


def test_an_empty_shared_field_is_filled(org: TypedOrg, homes: list[dict[str, Any]]) -> None:
    home = couple(homes)
    household_id = org.add_household(home, BillingCity=None)
    for person in home["persons"]:
        org.add_person(person, household_id)
    org.adopt("household", "person")
    org.crm.sync()

    assert org.read("Account")[household_id]["BillingCity"] == home["city"]


def test_a_doubtful_record_waits_for_a_decision(org: TypedOrg, homes: list[dict[str, Any]]) -> None:
    person = couple(homes)["persons"][0]
    account_id, contact_id = org.add_person(person, Birthdate=None)

    outcomes = org.compare()
    org.adopt("person")
    org.crm.sync()
    held = org.held()
    org.decide(account_id, person["key"], True)
    org.adopt()
    org.crm.sync()

    assert outcomes == {account_id: "doubtful", contact_id: "doubtful"}
    assert held == {"person": 1, "contact": 1}
    assert org.read("Contact")[contact_id][KEY_FIELD] == person["key"]
    assert org.held() == {}


def test_a_record_that_is_decided_to_be_another_person_is_left_and_the_client_is_created(
    org: TypedOrg, homes: list[dict[str, Any]]
) -> None:
    person = couple(homes)["persons"][0]
    account_id, _ = org.add_person(person, Birthdate=None)
    org.compare()
    org.decide(account_id, person["key"], False)

    org.crm.sync()

    accounts = org.read("Account")
    assert KEY_FIELD not in accounts[account_id] or accounts[account_id][KEY_FIELD] is None
    assert person["key"] in {each.get(KEY_FIELD) for each in accounts.values()}


def test_a_decision_is_not_overruled_by_the_household(org: TypedOrg, homes: list[dict[str, Any]]) -> None:
    home = couple(homes)
    household_id = org.add_household(home)
    [(account_id, contact_id), *_] = [org.add_person(person, household_id) for person in home["persons"]]
    assert org.compare()[account_id] == "matched"
    org.decide(account_id, home["persons"][0]["key"], False)

    org.adopt("household", "person")

    assert org.read("Account")[account_id].get(KEY_FIELD) is None
    assert org.read("Contact")[contact_id].get(KEY_FIELD) is None


def test_of_two_records_of_one_client_a_person_chooses_and_none_is_merged(
    org: TypedOrg, homes: list[dict[str, Any]]
) -> None:
    person = couple(homes)["persons"][0]
    first, _ = org.add_person(person)
    second, _ = org.add_person(person)
    org.add_account(second, "Brokerage")

    outcomes = org.compare()
    org.adopt("person")
    untouched = [each.get(KEY_FIELD) for id_, each in org.read("Account").items() if id_ in (first, second)]
    proposals = {
        row["salesforce_id"]: row["proposal"]
        for row in org.crm.database.rows("select * from control.adoption_finding where sobject = 'Account'")
    }
    org.decide(second, person["key"], True)
    org.adopt()

    assert (outcomes[first], outcomes[second]) == ("duplicate", "duplicate")
    assert untouched == [None, None]
    assert proposals[second] == "Choose this record: 1 account"
    assert second in proposals[first]
    accounts = org.read("Account")
    assert (accounts[first].get(KEY_FIELD), accounts[second].get(KEY_FIELD)) == (None, person["key"])


def test_a_record_that_names_a_couple_is_adopted_by_neither(org: TypedOrg, homes: list[dict[str, Any]]) -> None:
    home = couple(homes)
    one, other = home["persons"][:2]
    name = f"{one['first_name']} & {other['first_name']} {one['last_name']}"
    contact_id = org.add("Contact", LastName=name, MailingStreet=home["street"], MailingPostalCode=home["postal_code"])

    outcomes = org.compare()
    org.adopt("person")
    org.crm.sync()

    assert outcomes[contact_id] in ("shared", "doubtful")
    assert org.read("Contact")[contact_id].get(KEY_FIELD) is None
    assert org.held() == {"household": 1, "person": 2, "contact": 2}


def test_a_household_waits_whose_person_the_org_has_in_another_household(
    org: TypedOrg, homes: list[dict[str, Any]]
) -> None:
    home = couple(homes)
    other = next(each for each in homes if each["persons"] and each is not home)
    household_id = org.add_household(home)
    for person in (*home["persons"], other["persons"][0]):
        org.add_person(person, household_id)

    org.adopt("household", "person")
    org.crm.sync()

    assert org.read("Account")[household_id][KEY_FIELD] == home["key"]
    assert org.held()["household"] == 1
    assert other["key"] not in {each.get(KEY_FIELD) for each in org.read("Account").values()}


def test_the_company_of_a_client_is_not_surely_the_household(org: TypedOrg, homes: list[dict[str, Any]]) -> None:
    home = couple(homes)
    person = home["persons"][0]
    elsewhere = {"BillingStreet": "1 Other Street", "BillingCity": "Elsewhere", "BillingPostalCode": "99950"}
    company_id = org.add_household(home, Name=f"{person['last_name']} Dental", **elsewhere)
    org.add_person(person, company_id)
    assert org.compare()[company_id] == "doubtful"


def one_account(crm: Crm) -> dict[str, Any]:
    """Return an account of a vendor with the key of its owner and its whole number."""
    [row] = crm.database.rows("""
        select a.account_id, a.account_key, a.account_number_last4 as last4, a.account_number_hash as hashed, a.custodian, p.identity_id as owner
        from warehouse.account a join warehouse.account_owner o using (account_id) join warehouse.known_person p on p.person_id = o.person_id
        where a.recorded_to is null and a.valid_to is null and o.recorded_to is null and o.valid_to is null
          and (select count(*) from warehouse.account b where b.account_number_last4 = a.account_number_last4) = 1
        order by a.account_id limit 1
    """)
    return row


def owner_of(account: dict[str, Any], homes: list[dict[str, Any]]) -> dict[str, Any]:
    return next(p for home in homes for p in home["persons"] if p["identity_id"] == account["owner"])


@pytest.mark.parametrize("number", ["xxxx{}", "****-{}", None])
def test_an_account_with_only_the_last_four_digits_is_matched_by_its_owner(
    org: TypedOrg, homes: list[dict[str, Any]], number: str | None
) -> None:
    account = one_account(org.crm)
    owner_id, _ = org.add_person(owner_of(account, homes))
    shown = number.format(account["last4"]) if number else None
    name = f"{account['custodian']} Brokerage"
    id_ = org.add_account(owner_id, name if number else f"{name} x{account['last4']}", shown)

    assert org.compare()[id_] == "matched"
    org.adopt("person", "account")
    org.crm.sync()
    assert org.read(ACCOUNTS)[id_][KEY_FIELD].endswith(f":account:{account['account_key']}")


def test_a_complete_number_is_compared_by_its_hash_stays_in_the_org_and_is_stored_nowhere(
    org: TypedOrg, homes: list[dict[str, Any]]
) -> None:
    account, number = one_account(org.crm), "ZZ-4711-99887766"
    hashed, last4 = org.org.redactor.split(number) if org.org.redactor else (None, None)
    org.crm.database.do(
        "update warehouse.account set account_number_hash = :hashed, account_number_last4 = :last4 where account_id = :id",
        hashed=hashed, last4=last4, id=account["account_id"],
    )  # fmt: skip
    owner_id, _ = org.add_person(owner_of(account, homes))
    id_ = org.add_account(owner_id, "Something quite different", number)

    assert org.compare()[id_] == "matched"
    org.adopt("person", "account")
    org.crm.sync()

    assert org.read(ACCOUNTS)[id_]["FinServ__FinancialAccountNumber__c"] == number
    stored = org.crm.database.rows(
        "select payload from control.org_record union all select payload from control.crm_state"
    )
    assert "99887766" not in str(stored)


def test_an_account_of_another_owner_with_the_same_number_is_a_doubt(
    org: TypedOrg, homes: list[dict[str, Any]]
) -> None:
    account, number = one_account(org.crm), "ZZ-4711-99887766"
    assert org.org.redactor
    org.crm.database.do(
        "update warehouse.account set account_number_hash = :hashed where account_id = :id",
        hashed=org.org.redactor.split(number)[0], id=account["account_id"],
    )  # fmt: skip
    other = next(p for home in homes for p in home["persons"] if p["identity_id"] != account["owner"])
    owner_id, _ = org.add_person(other)
    id_ = org.add_account(owner_id, "Brokerage", number)

    assert org.compare()[id_] == "doubtful"


def test_a_relation_of_two_adopted_records_is_adopted_too(org: TypedOrg, homes: list[dict[str, Any]]) -> None:
    home = couple(homes)
    household_id = org.add_household(home)
    for person in home["persons"]:
        org.add_person(person, household_id)
    typed = {id_ for id_, each in org.read("AccountContactRelation").items() if each["AccountId"] == household_id}

    org.adopt("household", "person")
    org.crm.sync()

    relations = org.read("AccountContactRelation")
    assert all(relations[id_][KEY_FIELD].startswith("sample:orion:membership:") for id_ in typed)
    assert not org.crm.dead_letters()


def test_a_record_that_a_user_creates_later_is_found_before_the_sync_creates_one(
    org: TypedOrg, homes: list[dict[str, Any]]
) -> None:
    org.adopt("household", "person")
    new = couple(homes)["persons"][0]
    for sobject in ("Account", "Contact"):
        assert not org.read(sobject)
    account_id, contact_id = org.add_person(new)

    org.crm.sync()

    assert org.read("Account")[account_id][KEY_FIELD] == new["key"]
    assert org.read("Contact")[contact_id][KEY_FIELD] == new["key"]


def test_undo_restores_the_org_and_the_next_sync_creates_no_second_record(
    org: TypedOrg, homes: list[dict[str, Any]]
) -> None:
    home = couple(homes)
    household_id = org.add_household(home)
    for person in home["persons"]:
        org.add_person(person, household_id)
    before = org.read_all()

    org.adopt("household", "person")
    written = org.read_all()
    counts = org.undo()
    undone = org.read_all()
    org.crm.sync()

    assert written != before
    assert counts == {"removed": 1 + 2 * len(home["persons"]) + len(home["persons"]), "failed": 0}
    assert undone == before
    assert home["key"] not in {each.get(KEY_FIELD) for each in org.read_all().values()}
    assert org.held()["household"] == 1


def test_a_legal_entity_is_matched_with_a_business_account(org: TypedOrg) -> None:
    [entity] = org.crm.database.rows(
        "select * from warehouse.known_legal_entity where is_anchor order by identity_id limit 1"
    )
    id_ = org.add("Account", "IndustriesBusiness", Name=entity["name"].upper())

    assert org.compare()[id_] in ("matched", "doubtful")
    org.decide(id_, f"sample:{entity['vendor']}:legal_entity:{entity['legal_entity_key']}", True)
    org.adopt("legal_entity")

    assert org.read("Account")[id_][KEY_FIELD].endswith(f":legal_entity:{entity['legal_entity_key']}")


def test_after_a_withdrawal_no_further_key_is_written(org: TypedOrg, homes: list[dict[str, Any]]) -> None:
    org.approve("person")
    adopt.approve(org.crm.engine, ["person"], "ada@sample.example", is_approved=False)
    account_id, contact_id = org.add_person(couple(homes)["persons"][0])

    org.crm.sync()

    assert org.read("Account")[account_id].get(KEY_FIELD) is None
    assert org.read("Contact")[contact_id].get(KEY_FIELD) is None
    assert org.held() == {"person": 1, "contact": 1}


def test_each_candidate_is_listed_with_its_own_name(org: TypedOrg, homes: list[dict[str, Any]]) -> None:
    home = couple(homes)
    one, other = home["persons"][:2]
    name = f"{one['first_name']} & {other['first_name']} {one['last_name']}"
    org.add("Contact", LastName=name, MailingStreet=home["street"], MailingPostalCode=home["postal_code"])
    org.compare()

    rows = org.crm.database.rows(
        "select external_key, ours from control.salesforce_adoption where starts_with(theirs, :name) and entity <> 'household'",
        name=name,
    )

    known = {person["key"]: person["name"] for person in home["persons"]}
    assert {row["external_key"]: row["ours"].partition(",")[0] for row in rows} == known


def test_a_firm_may_switch_off_an_entity(org: TypedOrg, homes: list[dict[str, Any]]) -> None:
    org.crm.settings = replace(org.crm.settings, changes={"legal_entity": ObjectChange(is_off=True)})
    account_id, _ = org.add_person(couple(homes)["persons"][0])
    business = org.add("Account", "IndustriesBusiness", Name="Quite Another Bakery LLC")

    outcomes = org.compare()

    assert (outcomes[account_id], outcomes[business]) == ("matched", "unmatched")


def test_the_firms_own_record_type_tells_what_an_account_is(org: TypedOrg, homes: list[dict[str, Any]]) -> None:
    changes = {
        "household": ObjectChange(record_type="IndustriesBusiness"),
        "legal_entity": ObjectChange(record_type="IndustriesHousehold"),
    }
    org.crm.settings = replace(org.crm.settings, changes=changes)
    home = couple(homes)
    household_id = org.add("Account", "IndustriesBusiness", Name=home["name"])
    for person in home["persons"]:
        org.add_person(person, household_id)

    assert org.compare()[household_id] == "matched"


def test_an_unknown_entity_is_not_approved(org: TypedOrg) -> None:
    with pytest.raises(InputRejected, match="Unknown: position"):
        org.adopt("position")
