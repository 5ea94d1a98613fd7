"""Tamarac in the sandbox: its lists and reports over HTTP, its books, its faults, and edits."""

import csv
import io
import json
import zipfile
from collections import Counter, defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal

import httpx
import pytest

from sandbox.firm.market import slice_sessions
from sandbox.firm.world import World
from sandbox.server.clock import Clock
from sandbox.tamarac.app import PASSWORD, USER, list_true_matches
from sandbox.tamarac.office import Office
from sandbox.tamarac.positions import HOLDINGS
from sandbox.tamarac.trades import TRANSACTIONS

API = "/tamarac/api/"
MORNING = "2026-11-21T12:00:00Z"  # a Saturday, after the night's files of Friday
TABLES = ("accounts", "groups", "households", "clients")
FIRST, LAST = "2026-07-01", "2026-11-20"


class Caller:
    """Calls Tamarac in a running sandbox, at first on Saturday morning."""

    def __init__(self, sandbox):
        self.sandbox, self.http = sandbox, sandbox.http
        sandbox.admin("clock", now=MORNING)

    def get(self, path, **params):
        return self.http.get(API + path, params=params, auth=(USER, PASSWORD))

    def follow(self, url):
        response = self.http.get(url, auth=(USER, PASSWORD))
        assert response.status_code == 200, response.text
        return json.loads(response.text, parse_float=Decimal)

    def pages(self, table, size=200):
        page = self.follow(f"{API}{table}?pageSize={size}")
        yield page["items"]
        seen = set()
        while "nextPageUrl" in page:
            assert page["nextPageUrl"] not in seen, "the pages form a loop"
            seen.add(page["nextPageUrl"])
            page = self.follow(page["nextPageUrl"])
            yield page["items"]

    def rows(self, table):
        return [row for page in self.pages(table) for row in page]

    def submit(self, **params):
        return self.http.post(f"{API}reports", json=params, auth=(USER, PASSWORD))

    def wait(self, job):
        stages = [self.get(f"reports/{job}").json()["status"] for _ in range(3)]
        return self.get(f"reports/{job}/file"), stages

    def report(self, **params):
        response, stages = self.wait(self.submit(**params).json()["jobId"])
        assert (response.status_code, stages[-1]) == (200, "Complete")
        return read_table(response)

    def holdings(self, day=LAST):
        return self.report(report="AccountHoldingsAV", asOfDate=day)

    def transactions(self, first=FIRST, last=LAST, by="Trade"):
        return self.report(report="AccountTransactions", dateType=by, startDate=first, endDate=last)

    def fault(self, kind, route, **options):
        response = self.http.post("/_sandbox/faults", json={"route": API + route, "kind": kind, **options})
        assert response.status_code == 200, response.text

    def edit(self, kind, **values):
        return self.sandbox.admin(f"tamarac/{kind}", **values)


def read_text(response):
    content = response.content
    if response.headers["Content-Type"] == "application/zip":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = archive.read(archive.namelist()[0])
    return content.decode("utf-8-sig")


def read_table(response):
    return list(csv.DictReader(io.StringIO(read_text(response), newline="")))


def number(text):
    return Decimal(text.replace(",", ""))


def find(rows, **fields):
    return next(row for row in rows if all(row[key] == value for key, value in fields.items()))


@pytest.fixture
def tamarac(sandbox):
    return Caller(sandbox)


@pytest.fixture
def start_tamarac(start_sandbox):
    return lambda **options: Caller(start_sandbox(**options))


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


# The reports


def test_job_is_queued_then_running_then_complete(tamarac):
    response = tamarac.submit(report="AccountHoldingsAV", asOfDate=LAST)
    assert response.status_code == 202
    job = response.json()["jobId"]
    assert tamarac.get(f"reports/{job}/file").status_code == 409
    assert tamarac.wait(job)[1] == ["Queued", "Running", "Complete"]


def test_files_have_the_agreed_columns_and_every_third_is_zipped_and_some_are_marked(tamarac):
    kinds, marks = Counter(), 0
    for _ in range(12):
        job = tamarac.submit(report="AccountTransactions", dateType="Entry", startDate=LAST, endDate=LAST).json()
        response, _ = tamarac.wait(job["jobId"])
        kinds[response.headers["Content-Type"]] += 1
        marks += response.content.startswith(b"\xef\xbb\xbf")
        assert tuple(next(csv.reader(io.StringIO(read_text(response))))) == TRANSACTIONS
    assert kinds == {"text/csv; charset=utf-8": 8, "application/zip": 4}
    assert marks == 2
    assert tuple(tamarac.holdings()[0]) == HOLDINGS


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"report": "Everything"},
        {"report": "AccountHoldingsAV"},
        {"report": "AccountHoldingsAV", "asOfDate": "11/20/2026"},
        {"report": "AccountHoldingsAV", "asOfDate": LAST, "format": "xlsx"},
        {"report": "AccountTransactions", "dateType": "Settle", "startDate": LAST, "endDate": LAST},
        {"report": "AccountTransactions", "dateType": "Entry", "startDate": LAST, "endDate": FIRST},
    ],
)
def test_report_that_is_not_documented_is_refused(tamarac, params):
    response = tamarac.submit(**params)
    assert response.status_code == 400
    assert response.json()["message"]


def test_unknown_job_is_404(tamarac):
    assert tamarac.get("reports/999999").status_code == 404
    assert tamarac.get("reports/999999/file").status_code == 404


# The books


def find_moves(rows):
    """Map (account, CUSIP) to the units moved; cash has no CUSIP."""
    moved = defaultdict(Decimal)
    for row in rows:
        if row["Status"] != "Posted":
            continue
        moved[row["Account ID"], row["CUSIP"]] += number(row["Quantity"]) if row["CUSIP"] else 0
        if not (row["CUSIP"] and row["Type"].startswith("Transfer")):
            moved[row["Account ID"], ""] += number(row["Amount"])
    return moved


def find_units(rows):
    units = defaultdict(Decimal)
    for row in rows:
        if row["Account Type"] != "Reporting Group":
            units[row["Account ID"], row["CUSIP"]] += number(row["Quantity"])
    return units


def test_positions_of_consecutive_days_follow_from_transactions(tamarac):
    days = [day.isoformat() for day in slice_sessions(date(2026, 10, 26), date(2026, 11, 20))]
    before = find_units(tamarac.holdings(days[0]))
    for day in days[1:]:
        moved, after = find_moves(tamarac.transactions(day, day)), find_units(tamarac.holdings(day))
        for key in before.keys() | after.keys() | moved.keys():
            assert after.get(key, 0) == before.get(key, 0) + moved.get(key, 0), (day, key)
        before = after


def test_positions_are_the_sum_of_all_transactions(tamarac):
    moved = find_moves(tamarac.transactions())
    assert {key: units for key, units in moved.items() if units} == dict(find_units(tamarac.holdings()))


def test_amount_of_a_trade_is_the_cash_that_it_moves(tamarac):
    rows = tamarac.transactions()
    signs = {kind: {number(r["Amount"]) > 0 for r in rows if r["Type"] == kind} for kind in ("Buy", "Sell", "Fee")}
    assert signs == {"Buy": {False}, "Sell": {True}, "Fee": {False}}
    kinds = {"Buy", "Sell", "Dividend", "Interest", "Deposit", "Withdrawal", "Fee", "Transfer In", "Transfer Out"}
    assert {row["Type"] for row in rows} == kinds
    assert len({row["Transaction ID"] for row in rows}) == len(rows)


def test_values_of_holdings_are_those_of_the_accounts_list(tamarac):
    totals = defaultdict(Decimal)
    for row in tamarac.holdings():
        totals[row["Account ID"]] += number(row["Market Value"])
    values = {row["accountId"]: row["marketValue"] for row in tamarac.rows("accounts")}
    assert {key: value for key, value in values.items() if value} == totals
    assert any(key.startswith("G") for key in totals)


def test_some_positions_have_two_rows_and_large_numbers_have_commas(tamarac):
    rows = tamarac.holdings()
    counts = Counter((row["Account ID"], row["CUSIP"]) for row in rows)
    assert set(counts.values()) == {1, 2}
    assert all(("," in row["Market Value"]) == (number(row["Market Value"]) >= 1000) for row in rows)


def test_days_of_entry_and_of_trade_differ_for_late_entries(tamarac):
    rows = tamarac.transactions(by="Entry")
    late = [row for row in rows if row["Description"] == "Posted late"]
    assert late
    assert all(row["Trade Date"] < row["Entry Date"] for row in late)
    day = datetime.strptime(late[0]["Entry Date"], "%m/%d/%Y").date().isoformat()  # noqa: DTZ007
    assert late[0] in tamarac.transactions(day, day, by="Entry")
    assert late[0] not in tamarac.transactions(day, day, by="Trade")


def test_further_day_keeps_every_transaction(start_tamarac):
    tamarac = start_tamarac()
    facts = ("Account ID", "Trade Date", "Type", "CUSIP", "Quantity")
    earlier = {row["Transaction ID"]: [row[name] for name in facts] for row in tamarac.transactions()}
    tamarac.sandbox.admin("clock", now="2026-11-25T12:00:00Z")
    later = {r["Transaction ID"]: [r[name] for name in facts] for r in tamarac.transactions(last="2026-11-24")}
    assert earlier.items() < later.items()


# Edits


def first_buy(tamarac):
    """Return the first purchase of November that reinvests no dividend."""
    rows = tamarac.transactions(first="2026-11-01")
    ids = {row["Transaction ID"] for row in rows}
    return find((row for row in rows if f"{row['Transaction ID']}D" not in ids), Type="Buy", Status="Posted")


def units_of(tamarac, account, cusip, day=LAST):
    return find_units(tamarac.holdings(day))[account, cusip]


def test_corrected_transaction_keeps_its_id_and_is_entered_today(start_tamarac):
    tamarac = start_tamarac()
    buy = first_buy(tamarac)
    account, more = buy["Account ID"], number(buy["Quantity"]) + 5
    before = units_of(tamarac, account, buy["CUSIP"])
    tamarac.edit("correct_transaction", transaction_id=buy["Transaction ID"], quantity=float(more), price=10)
    rows = tamarac.transactions("2026-11-21", "2026-11-21", by="Entry")
    assert [(row["Transaction ID"], number(row["Amount"])) for row in rows] == [
        (buy["Transaction ID"], -round(more * 10, 2))
    ]
    assert units_of(tamarac, account, buy["CUSIP"]) == before + 5


def test_reversed_transaction_counts_no_more(start_tamarac):
    tamarac = start_tamarac()
    buy = first_buy(tamarac)
    before = units_of(tamarac, buy["Account ID"], buy["CUSIP"])
    tamarac.edit("reverse_transaction", transaction_id=buy["Transaction ID"])
    assert find(tamarac.transactions(), **{"Transaction ID": buy["Transaction ID"]})["Status"] == "Reversed"
    assert units_of(tamarac, buy["Account ID"], buy["CUSIP"]) == before - number(buy["Quantity"])


def test_back_dated_trade_has_an_old_trade_date_and_changes_positions_since(start_tamarac):
    tamarac = start_tamarac()
    account = find(tamarac.rows("accounts"), status="Open")["accountId"]
    cusip = find(tamarac.holdings(), Symbol="KO")["CUSIP"]
    days = ("2026-10-14", "2026-10-15", LAST)
    before = [units_of(tamarac, account, cusip, day) for day in days]
    tamarac.edit("backdate_trade", account_id=account, symbol="KO", trade_date="2026-10-15", quantity=12.5)
    (row,) = tamarac.transactions("2026-11-21", "2026-11-21", by="Entry")
    assert [row[name] for name in ("Trade Date", "Entry Date", "Type", "Quantity")] == [
        "10/15/2026",
        "11/21/2026",
        "Buy",
        "12.5",
    ]
    after = [units_of(tamarac, account, cusip, day) for day in days]
    assert [b - a for a, b in zip(before, after, strict=True)] == [0, Decimal("12.5"), Decimal("12.5")]
    assert find_moves(tamarac.transactions())[account, ""] == units_of(tamarac, account, "")


def test_moved_account_leaves_its_groups_and_belongs_to_another_household(start_tamarac):
    tamarac = start_tamarac()
    groups = tamarac.rows("groups")
    account = find(groups, groupType="Reporting")["members"][0]["id"]
    target = tamarac.rows("households")[-1]
    tamarac.edit("move_account", account_id=account, household_id=target["householdId"])
    assert account not in {member["id"] for row in tamarac.rows("groups") for member in row["members"]}
    holders = [r["householdId"] for r in tamarac.rows("households") if account in {m["id"] for m in r["members"]}]
    assert holders == [target["householdId"]]
    assert find(tamarac.rows("accounts"), accountId=account)["primaryClientId"] == target["primaryClientId"]


def test_closed_account_is_empty_from_that_day(start_tamarac):
    tamarac = start_tamarac()
    account = find(tamarac.rows("accounts"), status="Open")["accountId"]
    tamarac.edit("close_account", account_id=account, date="2026-09-15")
    row = find(tamarac.rows("accounts"), accountId=account)
    assert (row["status"], row["closedDate"], row["marketValue"]) == ("Closed", "2026-09-15", 0)
    assert account in {row["Account ID"] for row in tamarac.holdings("2026-09-14")}
    assert account not in {row["Account ID"] for row in tamarac.holdings("2026-09-15")}
    rows = [row for row in tamarac.transactions() if row["Account ID"] == account]
    assert set(find_moves(rows).values()) == {0}
    assert max(row["Trade Date"] for row in rows) == "09/15/2026"


def test_edits_survive_a_restart_and_leave_orion_alone(start_tamarac):
    first = start_tamarac()
    house, client = first.rows("households")[0], first.rows("clients")[0]
    first.edit("rename_household", household_id=house["householdId"], name="Renamed Sample")
    first.edit("set_fields", table="clients", id=client["clientId"], set={"email": "new@example.org", "zip": None})
    second = start_tamarac()
    assert second.rows("households")[0]["name"] == "Renamed Sample"
    row = second.rows("clients")[0]
    assert (row["email"], "zip" in row) == ("new@example.org", False)
    second.sandbox.log_in()
    assert second.sandbox.rows("Portfolio/Clients")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("explode", {}),
        ("correct_transaction", {"transaction_id": "T10300001-99999", "price": 1}),
        ("correct_transaction", {"transaction_id": "5000001"}),
        ("backdate_trade", {"account_id": "A1", "symbol": "KO", "trade_date": LAST, "quantity": 1}),
        ("backdate_trade", {"account_id": "A10300001", "symbol": "NONE", "trade_date": LAST, "quantity": 1}),
        ("move_account", {"account_id": "A10300001", "household_id": "H1"}),
        ("close_account", {"account_id": "A10300001"}),
        ("rename_household", {"household_id": "H501001"}),
        ("set_fields", {"table": "advisors", "id": "1", "set": {}}),
        ("closed_through", {"date": "2001-01-01"}),
    ],
)
def test_impossible_edit_is_refused_and_not_kept(start_tamarac, tmp_path, kind, values):
    tamarac = start_tamarac()
    assert tamarac.http.post(f"/_sandbox/tamarac/{kind}", json=values).status_code == 400
    assert not (tmp_path / "state" / "edits.jsonl").exists()
    assert tamarac.rows("households")


# The faults


def test_transport_faults_strike_its_routes(tamarac):
    tamarac.fault("server_error", "accounts", times=1, status=502)
    tamarac.fault("too_many_requests", "reports", times=1)
    assert [tamarac.get("accounts").status_code for _ in range(2)] == [502, 200]
    assert tamarac.submit(report="AccountHoldingsAV", asOfDate=LAST).status_code == 429
    tamarac.fault("body_cut", "reports/*/file", times=1)
    job = tamarac.submit(report="AccountHoldingsAV", asOfDate=LAST).json()["jobId"]
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        tamarac.wait(job)
    assert tamarac.get(f"reports/{job}/file").status_code == 200


def test_fields_of_a_list_drift(tamarac):
    tamarac.fault("field_renamed", "households", field="advisorId", to="primaryAdvisorId")
    tamarac.fault("poison", "accounts", field="marketValue", value="N/A", share=0.5)
    assert all("primaryAdvisorId" in row for row in tamarac.rows("households"))
    assert {type(row["marketValue"]) for row in tamarac.rows("accounts")} == {str, Decimal}


def test_rows_come_and_go_between_pages(tamarac):
    ids = [row["accountId"] for row in tamarac.rows("accounts")]
    tamarac.fault("rows_removed", "accounts", count=2, times=1)
    pages = tamarac.pages("accounts", size=9)
    assert [[row["accountId"] for row in next(pages)] for _ in range(2)] == [ids[:9], ids[11:20]]
    tamarac.fault("rows_added", "accounts", count=2, times=1)
    pages = tamarac.pages("accounts", size=9)
    assert [[row["accountId"] for row in next(pages)] for _ in range(3)] == [ids[:9], ids[7:16], ids[16:25]]


def test_columns_of_a_report_drift(tamarac):
    tamarac.fault("field_renamed", "reports/AccountHoldingsAV/file", field="Market Value", to="Value", times=1)
    tamarac.fault("field_added", "reports/*/file", field="ESG Score", value=3, times=1)
    row = tamarac.holdings()[0]
    assert tuple(row) == tuple(n if n != "Market Value" else "Value" for n in (*HOLDINGS, "ESG Score"))
    assert row["ESG Score"] == "3"
    assert tuple(tamarac.holdings()[0]) == HOLDINGS


def test_cells_of_a_report_are_poisoned_in_a_share_of_rows(tamarac):
    tamarac.fault("poison", "reports/AccountHoldingsAV/file", field="Quantity", value="N/A", share=0.2, seed=3)
    rows = tamarac.holdings()
    assert 0.1 < sum(row["Quantity"] == "N/A" for row in rows) / len(rows) < 0.3
    tamarac.fault("poison", "reports/AccountTransactions/file", share=0.5, seed=1)
    assert len(tamarac.transactions()) > 500


def test_report_fails_and_another_hangs(tamarac):
    tamarac.fault("report_failed", "reports/AccountHoldingsAV", times=1)
    tamarac.fault("report_hangs", "reports/AccountTransactions", times=1)
    failed = tamarac.submit(report="AccountHoldingsAV", asOfDate=LAST).json()["jobId"]
    hanging = tamarac.submit(report="AccountTransactions", dateType="Entry", startDate=LAST, endDate=LAST).json()[
        "jobId"
    ]
    assert tamarac.wait(failed)[1] == ["Queued", "Running", "Failed"]
    assert tamarac.get(f"reports/{failed}").json()["message"]
    tamarac.wait(hanging)
    response, stages = tamarac.wait(hanging)
    assert (response.status_code, stages) == (409, ["Running"] * 3)
    assert tamarac.holdings()


def test_archive_ends_in_its_middle(tamarac):
    tamarac.fault("zip_cut", "reports/AccountHoldingsAV/file", times=1)
    job = tamarac.submit(report="AccountHoldingsAV", asOfDate=LAST).json()["jobId"]
    response, _ = tamarac.wait(job)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "application/zip")
    assert response.content.startswith(b"PK")
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(response.content))


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
