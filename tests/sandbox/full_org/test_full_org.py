"""A Salesforce org that is full before the first sync: its records, and what the sandbox knows of them."""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from sandbox.firm.households import Firm
from sandbox.firm.likeness import write_person_key
from sandbox.full_org import Fact, Truth, fill
from sandbox.full_org.clients import list_offices
from sandbox.full_org.kinds import KINDS, NEWER
from sandbox.salesforce.org import Org
from sandbox.server.clock import Clock
from sandbox.server.faults import Faults
from tests.running_sandbox import LAST, NOW, Sandbox, run_sandbox

FIRM = Firm(7, 60, date(2026, 7, 29))
OBJECTS = ("Account", "Contact", "AccountContactRelation", "FinServ__FinancialAccount__c", "Lead")
Record = dict[str, Any]


def open_org(folder: Path) -> Org:
    clock = Clock()
    clock.set(NOW)
    return Org(folder, Faults(), clock)


def read_records(org: Org) -> dict[str, Record]:
    with org.store.read() as connection:
        return {id_: orjson.loads(body) for id_, body in connection.execute("select id, body from record order by id")}


class Full:
    """A filled org of 60 households."""

    def __init__(self, org: Org) -> None:
        self.org = org
        self.facts = list(fill(org, FIRM, LAST))
        self.records = read_records(org)

    def list_facts(self, kind: str) -> list[Fact]:
        return [fact for fact in self.facts if kind in fact.kinds]

    def read(self, fact: Fact) -> Record:
        assert fact.id
        return self.records[fact.id]

    def describe_person(self, fact: Fact) -> tuple[str, str | None, str | None]:
        """Return name, birth date and street of a contact."""
        contact = self.read(fact)
        account = self.records[contact["AccountId"]]
        street = contact.get("MailingStreet", account.get("BillingStreet"))
        return f"{contact['FirstName']} {contact['LastName']}", contact.get("Birthdate"), street


@pytest.fixture(scope="module", params=["individuals", "person_accounts"])
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Full]:
    org = open_org(tmp_path_factory.mktemp("org"))
    if request.param == "person_accounts":
        org.enable_person_accounts()
    with contextlib.closing(org.store):
        yield Full(org)


def test_every_kind_occurs_in_a_small_firm(full: Full) -> None:
    occurring = Counter(kind for fact in full.facts for kind in fact.kinds)
    assert occurring.keys() == KINDS.keys()
    exact = [fact for fact in full.facts if fact.object == "Contact" and fact.identities and not fact.kinds]
    assert len(exact) > 5


def test_every_named_record_exists_and_all_others_are_made_by_salesforce(full: Full) -> None:
    named = {fact.id: fact.object for fact in full.facts if fact.id}
    assert {id_: full.org.store.object_of(id_) for id_ in named} == named
    others = Counter(full.org.store.object_of(id_) for id_ in full.records.keys() - named.keys())
    assert others.keys() == {"User", "RecordType", "AccountContactRelation"}
    assert all(
        full.records[id_]["IsDirect"]
        for id_ in full.records.keys() - named.keys()
        if full.org.store.object_of(id_) == "AccountContactRelation"
    )


def test_every_client_is_in_the_org_or_known_to_be_missing(full: Full) -> None:
    keys = {key for office in list_offices(FIRM, LAST) for client in office.clients for key in client.list_keys()}
    present = {key for fact in full.facts if fact.id for key in fact.identities}
    missing = {key for fact in full.facts if not fact.id for key in fact.identities}
    assert present | missing == keys
    assert present & missing == set()
    kinds = {kind for fact in full.facts if not fact.id for kind in fact.kinds}
    assert kinds == {"absent", "absent_person", "absent_account", "absent_entity"}


def test_of_several_records_of_one_thing_the_later_ones_are_duplicates(full: Full) -> None:
    by_identity = defaultdict(list)
    for fact in full.facts:
        if fact.id and fact.identities and fact.object not in ("Lead", "AccountContactRelation"):
            by_identity[fact.object, fact.identities].append(fact)
    several = [facts for facts in by_identity.values() if len(facts) > 1]
    assert several
    for first, *later in by_identity.values():
        assert first.duplicate_of is None
        assert {fact.duplicate_of for fact in later} <= {first.id}


def test_a_person_is_an_account_and_a_contact(full: Full) -> None:
    accounts = [f for f in full.facts if f.object == "Account" and f.id and any("person:" in k for k in f.identities)]
    contacts = [f for f in full.facts if f.object == "Contact" and f.identities]
    assert [f.identities for f in accounts] == [f.identities for f in contacts]
    for account, contact in zip(accounts, contacts, strict=True):
        assert full.read(contact)["AccountId"] == account.id
        assert full.read(account).get("PersonContactId") == (contact.id if full.org.has_person_accounts else None)


def test_a_client_has_the_name_and_address_of_the_firm_unless_a_kind_changes_them(full: Full) -> None:
    people, checked = {}, 0
    for office in list_offices(FIRM, LAST):
        for client in office.clients:
            for place, person in enumerate(client.household.people):
                people[write_person_key(client.household, place)] = person, client.household.home
    for fact in full.facts:
        if fact.object == "Contact" and fact.identities and not fact.kinds:
            person, home = people[fact.identities[0]]
            street = " ".join(filter(None, (home.street, home.unit)))
            assert full.describe_person(fact) == (person.name, person.born.isoformat(), street)
            checked += 1
    assert checked > 5


def test_who_resembles_a_client_is_no_client(full: Full) -> None:
    contacts = {fact.identities: fact for fact in full.facts if fact.object == "Contact" and not fact.duplicate_of}
    for kind in ("namesake_son", "namesake", "twin"):
        facts = [fact for fact in full.list_facts(kind) if fact.object == "Contact"]
        assert facts
        for fact in facts:
            assert fact.identities == ()
            client = contacts.get((str(fact.resembles),))
            assert client
            if client.kinds:
                continue
            name, born, street = full.describe_person(fact)
            other_name, other_born, other_street = full.describe_person(client)
            assert (name.removesuffix(" Jr.") == other_name, born == other_born, street == other_street) == {
                "namesake_son": (True, False, True),
                "namesake": (True, False, False),
                "twin": (False, True, True),
            }[kind]


def test_values_newer_than_the_vendors_were_entered_by_an_advisor_last_week(full: Full) -> None:
    newer = [fact for fact in full.facts if fact.newer]
    assert {kind for fact in newer for kind in fact.kinds} >= NEWER
    advisors = {id_ for id_, body in full.records.items() if body.get("Username", "").startswith(("advisor.", "acq"))}
    for fact in newer:
        record = full.read(fact)
        assert {name: record[name] for name in fact.newer} == fact.newer
        assert NOW - timedelta(days=7) < datetime.fromisoformat(record["LastModifiedDate"]) < NOW
        assert record["LastModifiedById"] in advisors
    old = [full.read(fact) for fact in full.facts if fact.id and not fact.newer and fact.object != "Contact"]
    assert all(datetime.fromisoformat(r["LastModifiedDate"]) < datetime(2026, 7, 29, tzinfo=UTC) for r in old)
    assert min(record["CreatedDate"] for record in old) < "2021"


def test_records_belong_to_several_users_and_carry_no_key_of_ours(full: Full) -> None:
    owners = Counter(body["OwnerId"] for body in full.records.values() if body.get("OwnerId"))
    assert len(owners) >= 6
    values = {(name, value) for body in full.records.values() for name, value in body.items() if "Tributary" in name}
    assert values == {("Tributary_Plan_Stale__c", False)}  # the default of a checkbox


def test_numbers_of_accounts_are_full_masked_in_the_name_or_missing(full: Full) -> None:
    numbers = {
        each.key: each.account.number for o in list_offices(FIRM, LAST) for c in o.clients for each in c.accounts
    }
    forms = Counter()
    for fact in full.facts:
        if fact.id and fact.object == "FinServ__FinancialAccount__c" and fact.identities and not fact.duplicate_of:
            number, record = numbers[fact.identities[0]], full.read(fact)
            typed = record.get("FinServ__FinancialAccountNumber__c")
            form = fact.kinds[0] if fact.kinds else "full"
            forms[form] += 1
            expected = {
                "full": typed == number,
                "masked_number": typed is not None and typed[-5:] != number[-5:] and typed[-4:] == number[-4:],
                "number_in_name": typed is None and number[-4:] in record["Name"],
                "no_number": typed is None and number[-4:] not in record["Name"],
            }
            assert expected[form], (form, number, record)
    assert len(forms) == 4


def test_shares_are_those_declared(tmp_path: Path) -> None:
    firm = Firm(11, 1000, date(2026, 7, 29))
    with contextlib.closing((org := open_org(tmp_path)).store):
        facts = list(fill(org, firm, LAST))
    counts = Counter(
        kind
        for fact in facts
        if fact.object != "AccountContactRelation" and not fact.duplicate_of
        for kind in fact.kinds
    )
    households = 1103
    by_object = Counter(fact.object for fact in facts if fact.identities and fact.id and not fact.duplicate_of)
    assert counts["renamed"] == pytest.approx(0.3 * 0.95 * households, rel=0.02)
    assert counts["cold_lead"] == households
    assert counts["supplier"] // 2 == pytest.approx(0.1 * households, abs=1)
    assert counts["typo"] / 2 / by_object["Contact"] == pytest.approx(0.08, rel=0.05)


def test_the_same_seed_and_time_fill_the_same_org(full: Full, tmp_path: Path) -> None:
    with contextlib.closing((org := open_org(tmp_path)).store):
        if full.org.has_person_accounts:
            org.enable_person_accounts()
        again = Full(org)
    stamps = {"LastModifiedDate", "SystemModstamp"}  # set by the clock, which runs
    plain = [
        {id_: {k: v for k, v in body.items() if k not in stamps} for id_, body in each.records.items()}
        for each in (full, again)
    ]
    for id_, body in plain[0].items():
        if full.org.store.object_of(id_) in OBJECTS:
            assert body == plain[1][id_]
    assert full.facts == again.facts


def test_an_org_is_filled_once_and_wholly_or_not_at_all(tmp_path: Path) -> None:
    with contextlib.closing((org := open_org(tmp_path)).store):
        org.change_field("Lead", "Title", {"is_required": True})
        with pytest.raises(RuntimeError, match="REQUIRED_FIELD_MISSING"):
            fill(org, FIRM, LAST)
        assert not Truth(org.store)
        assert not [id_ for id_ in read_records(org) if org.store.object_of(id_) in OBJECTS]
        org.change_field("Lead", "Title", {"is_required": False})
        first = list(fill(org, FIRM, LAST))
        assert list(fill(org, FIRM, LAST)) == first


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with run_sandbox(tmp_path_factory.mktemp("full")) as running:
        consumer = {"client_id": "tool", "client_secret": "only-here", "username": "tool@sample-wealth.example"}
        running.http.post("/salesforce/_admin/consumers", json=consumer)
        form = {"grant_type": "client_credentials", "client_id": "tool", "client_secret": "only-here"}
        token = running.org.post("/services/oauth2/token", data=form).json()["access_token"]
        running.org.headers["Authorization"] = f"Bearer {token}"
        assert running.http.get("/_sandbox/salesforce/full_org").json() == {"is_full": False}
        assert running.http.get("/_sandbox/salesforce/truth").text == ""
        assert running.admin("salesforce/full_org") == {"is_full": True}
        yield running


def read_truth(sandbox: Sandbox) -> list[Record]:
    lines = sandbox.http.get("/_sandbox/salesforce/truth").text.splitlines()
    return [orjson.loads(line) for line in lines]


def test_soql_and_bulk_query_return_the_records(sandbox: Sandbox) -> None:
    data, facts = "/services/data/v66.0", read_truth(sandbox)
    named = {(fact["object"], fact["id"]) for fact in facts if fact["id"]}
    for name in OBJECTS:
        expected = {id_ for of, id_ in named if of == name}
        total = sandbox.org.get(f"{data}/query", params={"q": f"SELECT COUNT() FROM {name}"}).json()["totalSize"]
        job = {"operation": "query", "query": f"SELECT Id, CreatedDate, CreatedBy.Username FROM {name}"}
        job_id = sandbox.org.post(f"{data}/jobs/query", json=job).json()["id"]
        while (sandbox.org.get(f"{data}/jobs/query/{job_id}").json())["state"] != "JobComplete":
            pass
        header, *lines = sandbox.org.get(f"{data}/jobs/query/{job_id}/results").text.splitlines()
        assert header.replace('"', "") == "Id,CreatedDate,CreatedBy.Username"
        assert len(lines) == total
        assert expected <= {line.split(",")[0].strip('"') for line in lines}
        assert all("sample-wealth.example" in line and "tool@" not in line for line in lines)


def test_the_vendors_records_have_the_identities_of_the_truth(sandbox: Sandbox) -> None:
    keys = sandbox.http.get("/_sandbox/salesforce/vendor_keys").json()
    known = {key for fact in read_truth(sandbox) for key in fact["identities"]}
    at_vendors = {key for vendor in keys.values() for identities in vendor.values() for key in identities}
    kinds = ("household:", "person:", "entity:")
    assert {key for key in known if key.startswith(kinds)} == {key for key in at_vendors if key.startswith(kinds)}
    assert {key for key in known if key.startswith("account:")} <= at_vendors
    served = {f"clients:{row['id']}" for row in sandbox.rows("Portfolio/Clients")}
    served |= {f"registrations:{row['id']}" for row in sandbox.rows("Portfolio/Registrations")}
    served |= {f"accounts:{row['id']}" for row in sandbox.rows("Portfolio/Accounts")}
    assert keys["orion"].keys() == served


def test_an_org_that_is_full_or_has_records_from_elsewhere_is_not_filled(sandbox: Sandbox, tmp_path: Path) -> None:
    before = read_truth(sandbox)
    sandbox.admin("salesforce/full_org")
    assert read_truth(sandbox) == before
    with contextlib.closing((org := open_org(tmp_path)).store):
        user = org.find_user("ada@sample-wealth.example")
        with org.store.write() as connection:
            org.writer(user).write(connection, org.schema["Account"], "insert", [{"Name": "Sample Bank"}])
        with pytest.raises(ValueError, match="has accounts already"):
            fill(org, FIRM, LAST)
