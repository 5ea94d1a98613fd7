"""Tamarac in the sandbox: its lists over HTTP, the night's files, the hierarchy of households, groups and accounts, and own data."""

import json
from collections import Counter, defaultdict
from datetime import UTC, date, datetime

import httpx
import pytest

from sandbox.firm.world import World
from sandbox.server.clock import Clock
from sandbox.tamarac.app import PASSWORD, USER, list_true_matches
from sandbox.tamarac.office import Office
from tests.sandbox.tamarac.caller import API, LAST, TABLES, find, read_text

# The calls


@pytest.mark.parametrize("login", [None, (USER, "wrong"), ("wrong", PASSWORD)])
@pytest.mark.parametrize("path", ["custodial-sync", "accounts", "reports/1", "reports/1/file"])
def test_call_without_the_right_login_is_401(tamarac, path, login):
    auth = httpx.BasicAuth(*login) if login else None
    with httpx.Client(base_url=tamarac.sandbox.url, auth=auth) as http:
        assert http.get(API + path).status_code == 401


def test_unknown_list_is_404_and_undocumented_parameter_400(tamarac):
    assert tamarac.get("advisors").status_code == 404
    assert tamarac.get("accounts", sort="name").status_code == 400
    assert tamarac.get("custodial-sync", page=1).status_code == 400


@pytest.mark.parametrize("size", ["0", "1001", "many"])
def test_impossible_page_size_is_refused(tamarac, size):
    assert tamarac.get("accounts", pageSize=size).status_code == 400


@pytest.mark.parametrize("table", TABLES)
def test_pages_follow_absolute_links_and_are_the_whole_list_once(tamarac, table):
    whole = tamarac.rows(table)
    pages = list(tamarac.pages(table, size=7))
    assert [row for page in pages for row in page] == whole
    assert [len(page) for page in pages[:-1]] == [7] * (len(pages) - 1)
    assert len(pages) > 1
    assert pages[-1]
    assert tamarac.get(table, pageSize=7).json()["nextPageUrl"].startswith(f"{tamarac.sandbox.url}{API}{table}?")


def test_list_that_fills_its_last_page_has_no_link(tamarac):
    size = len(tamarac.rows("clients"))
    assert "nextPageUrl" not in tamarac.get("clients", pageSize=size).json()
    assert "nextPageUrl" in tamarac.get("clients", pageSize=size - 1).json()


@pytest.mark.parametrize("table", TABLES)
def test_properties_that_are_null_are_left_out(tamarac, table):
    rows = tamarac.rows(table)
    assert all(value is not None for row in rows for value in row.values())
    assert len({frozenset(row) for row in rows}) > 1 or table == "households"


# The night


@pytest.mark.parametrize(
    ("now", "status", "day"),
    [
        ("2026-11-20T23:00:00Z", "Complete", "2026-11-19"),
        ("2026-11-21T10:29:00Z", "Running", "2026-11-19"),
        ("2026-11-21T10:30:00Z", "Complete", "2026-11-20"),
        ("2026-11-22T18:00:00Z", "Complete", "2026-11-20"),
        ("2026-11-23T14:00:00Z", "Complete", "2026-11-20"),
        ("2026-11-24T10:30:00Z", "Complete", "2026-11-23"),
    ],
)
def test_session_is_closed_at_half_past_five_on_the_next_day(tamarac, now, status, day):
    tamarac.sandbox.admin("clock", now=now)
    assert tamarac.get("custodial-sync").json() == {"status": status, "lastSuccessfulDate": day}


def test_weekend_and_monday_morning_have_the_same_file(tamarac):
    files = set()
    for now, day in (("21T12", "20"), ("22T12", "21"), ("22T12", "22"), ("23T12", "23")):
        tamarac.sandbox.admin("clock", now=f"2026-11-{now}:00:00Z")
        job = tamarac.submit(report="AccountHoldingsAV", asOfDate=f"2026-11-{day}").json()["jobId"]
        files.add(read_text(tamarac.wait(job)[0]))
    assert len(files) == 1
    assert ",11/20/2026\r\n" in files.pop()


def test_firm_of_one_session_has_a_closed_day(start_tamarac):
    tamarac = start_tamarac(first=date(2026, 11, 20))
    tamarac.sandbox.admin("clock", now="2026-11-20T23:00:00Z")
    assert tamarac.get("custodial-sync").json()["lastSuccessfulDate"] == "2026-11-20"
    assert tamarac.rows("accounts")


def test_failed_night_is_reported(tamarac):
    tamarac.fault("sync_failed", "custodial-sync", times=1)
    assert [tamarac.get("custodial-sync").json()["status"] for _ in range(2)] == ["Failed", "Complete"]


def test_closed_day_can_be_set_and_released(start_tamarac):
    tamarac = start_tamarac()
    tamarac.edit("closed_through", date="2026-11-18")
    tamarac.sandbox.admin("clock", now="2026-11-21T07:00:00Z")
    assert tamarac.get("custodial-sync").json() == {"status": "Complete", "lastSuccessfulDate": "2026-11-18"}
    assert {row["As Of Date"] for row in tamarac.holdings()} == {"11/18/2026"}
    tamarac.edit("closed_through", date=None)
    assert tamarac.get("custodial-sync").json() == {"status": "Running", "lastSuccessfulDate": "2026-11-19"}


# The hierarchy


def test_every_id_that_is_named_exists(tamarac):
    accounts, groups, households, clients = map(tamarac.rows, TABLES)
    ids = {
        "Account": {row["accountId"] for row in accounts},
        "Group": {row["groupId"] for row in groups},
    }
    for row in [*groups, *households]:
        assert all(member["id"] in ids[member["type"]] for member in row["members"])
    people = {row["clientId"] for row in clients}
    assert {row["primaryClientId"] for row in [*accounts, *households]} <= people
    assert {row["householdId"] for row in clients} == {row["householdId"] for row in households}


def expand(members, groups):
    """Map each account to the ways in which it is reached."""
    for member in members:
        if member["type"] == "Account":
            yield member["id"], member.get("ownershipPercent", 100)
        else:
            yield from expand(groups[member["id"]]["members"], groups)


def test_groups_nest_and_an_account_is_in_two_groups_of_one_household(tamarac):
    groups = {row["groupId"]: row for row in tamarac.rows("groups")}
    assert {row["groupType"] for row in groups.values()} == {"Reporting", "Billing", "Rebalancing"}
    assert any(member["type"] == "Group" for row in groups.values() for member in row["members"])
    assert any("closedDate" in row for row in groups.values())
    reached = [Counter(id_ for id_, _ in expand(row["members"], groups)) for row in tamarac.rows("households")]
    assert any(2 in counts.values() for counts in reached)


def test_billing_group_has_a_partial_account(tamarac):
    billing = [row for row in tamarac.rows("groups") if row["groupType"] == "Billing"]
    assert any(member.get("ownershipPercent") == 50 for row in billing for member in row["members"])


def test_every_account_is_owned_to_the_full_by_one_or_two_households(tamarac):
    groups = {row["groupId"]: row for row in tamarac.rows("groups")}
    owned = defaultdict(dict)
    for house in tamarac.rows("households"):
        for account, percent in expand(house["members"], groups):
            owned[account][house["householdId"]] = percent
    accounts = {row["accountId"] for row in tamarac.rows("accounts") if row["accountType"] != "Reporting Group"}
    assert owned.keys() == accounts
    assert {sum(shares.values()) for shares in owned.values()} == {100}
    assert (60, 40) in {tuple(shares.values()) for shares in owned.values()}


def test_reporting_group_is_listed_with_the_sum_of_its_members(tamarac):
    accounts = {row["accountId"]: row for row in tamarac.rows("accounts")}
    groups = {row["groupId"]: row for row in tamarac.rows("groups")}
    listed = [row for row in accounts.values() if row["accountType"] == "Reporting Group"]
    assert listed
    for row in listed:
        members = {id_ for id_, _ in expand(groups[row["accountId"]]["members"], groups)}
        assert row["marketValue"] == sum(accounts[id_]["marketValue"] for id_ in members)
        assert not {"custodian", "accountNumber"} & row.keys()


def test_emails_of_one_household_name_one_person_each(tmp_path):
    office = Office(World(tmp_path, Clock(), households=600))
    emails, people = defaultdict(list), Counter()
    for _, row in office.read("clients"):
        people[row["householdId"]] += 1
        emails[row["householdId"]] += [row["email"].lower()] if "email" in row else []
    assert all(len(set(known)) == len(known) for known in emails.values())
    assert 2 in people.values()


def test_advisors_of_the_office_are_not_those_of_the_firm(tamarac):
    names = {row["advisorId"]: row["advisorName"] for row in tamarac.rows("households")}
    shared = {id_[4:] for id_ in names if id_.startswith("ADV-")} & {id_[4:] for id_ in names if id_.startswith("OFF-")}
    assert shared
    assert all(names[f"ADV-{id_}"] != names[f"OFF-{id_}"] for id_ in shared)


# The same people


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    clock = Clock()
    clock.set(datetime(2026, 11, 21, 12, tzinfo=UTC))
    return World(tmp_path_factory.mktemp("world"), clock, households=40)


def test_truth_names_records_that_exist_and_the_first_household(tamarac, world):
    pairs = list_true_matches(world)
    served = {f"households:{row['householdId']}" for row in tamarac.rows("households")}
    served |= {f"clients:{row['clientId']}" for row in tamarac.rows("clients")}
    served |= {f"accounts:{row['accountId']}" for row in tamarac.rows("accounts") if "accountNumber" in row}
    assert {record for record, _ in pairs} == served
    assert ("households:H501001", "household:1001") in pairs
    assert len({record for record, _ in pairs}) == len(pairs)


def test_true_person_has_the_tax_id_that_orion_knows(tamarac, world):
    homes = {f"household:{house.id}": house for house in world.open_book().households}
    clients = {f"clients:{row['clientId']}": row for row in tamarac.rows("clients")}
    checked = 0
    for record, whose in list_true_matches(world):
        kind, _, rest = whose.partition(":")
        house, _, place = rest.partition(":")
        if kind == "person" and f"household:{house}" in homes and "taxId" in clients[record]:
            assert clients[record]["taxId"] == homes[f"household:{house}"].people[int(place)].tax_id
            checked += 1
    assert checked > 3


def test_about_a_seventh_of_the_firm_is_known_and_the_accounts_are_others(tamarac, tmp_path):
    clock = Clock()
    large = [
        whose
        for _, whose in list_true_matches(World(tmp_path, clock, households=2000))
        if whose.startswith("household:") and int(whose.partition(":")[2]) <= 3000
    ]
    assert 240 < len(large) < 360
    numbers = {row["accountNumber"] for row in tamarac.rows("accounts") if "accountNumber" in row}
    tamarac.sandbox.log_in()
    assert not numbers & {row["number"] for row in tamarac.sandbox.rows("Portfolio/Accounts")}


# Data from files


def test_folder_is_served_instead_of_the_office(start_tamarac, tmp_path):
    folder = tmp_path / "data" / "tamarac"
    folder.mkdir(parents=True)
    accounts = [{"accountId": f"A{n}", "name": "Ada Sample", "marketValue": n, "cash": None} for n in range(1, 6)]
    (folder / "accounts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in accounts))
    rows = [{"Account ID": "A1", "Quantity": "1,000.50", "As Of Date": f"11/{d}/2026"} for d in (18, 20)]
    (folder / "holdings.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "transactions.jsonl").write_text(
        json.dumps({"Transaction ID": "T1", "Trade Date": "10/01/2026", "Entry Date": "11/20/2026"}) + "\n"
    )
    tamarac = start_tamarac(data=tmp_path / "data", households=2)
    assert [row["accountId"] for page in tamarac.pages("accounts", size=2) for row in page] == [
        row["accountId"] for row in accounts
    ]
    assert all("cash" not in row for row in tamarac.rows("accounts"))
    assert tamarac.rows("groups") == []
    assert [(r["Account ID"], r["Quantity"], r["As Of Date"], r["Price"]) for r in tamarac.holdings("2026-11-19")] == [
        ("A1", "1,000.50", "11/18/2026", "")
    ]
    assert tamarac.get("custodial-sync").json()["lastSuccessfulDate"] == "2026-11-20"
    assert [row["Transaction ID"] for row in tamarac.transactions(LAST, LAST, by="Entry")] == ["T1"]
    assert tamarac.transactions(LAST, LAST, by="Trade") == []
    tamarac.edit("set_fields", table="accounts", id="A3", set={"name": "Ada Example"})
    assert find(tamarac.rows("accounts"), accountId="A3")["name"] == "Ada Example"
