"""The lineage of balances and records: back to the vendor's calls, forward to Salesforce, and as known at an earlier time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from include.audit.as_of import Record
from include.control.ledger import Pull
from include.operations import lineage
from include.operations.listing import read_list
from include.operations.lists import BREAKS, DEAD_LETTER_ROWS, FINDINGS
from include.warehouse import schema
from tests.conftest import Database, Firm
from tests.operations.records import record_check, record_dead_letter
from tests.running_sandbox import LAST
from tests.warehouse.loading import DAY, NEXT, Loader, position

LATER = datetime(2100, 1, 1, tzinfo=UTC)


@dataclass
class Loaded:
    """A household that owns half of an account with two positions, one of them corrected, and all that leads to or from it.

    Attributes:
        web: The database as the role of the pages.
        first: A time before the correction.
        pull: The pull with the correction.
        partition: Path of its partition.
    """

    web: sa.Engine
    first: datetime
    pull: Pull
    partition: str

    def read(self, entity: str, key: str, day: date | None = DAY, at: datetime = LATER) -> lineage.Lineage:
        with self.web.connect() as db:
            return lineage.read_lineage(db, Record(entity, "made-up", key), day, at)


@pytest.fixture(scope="module")
def loaded(shared_database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    loader = Loader(shared_database, tmp_path_factory.mktemp("staging"), "made-up")
    other = Loader(shared_database, tmp_path_factory.mktemp("other"), "other")
    loader.load("household", [{"household_key": "h1", "name": "The 100% Family"}])
    other.load("household", [{"household_key": "x9", "name": "Family"}])
    loader.load("person", [{"person_key": "p1", "household_key": "h1", "name": "Ada Family"}])
    loader.load("legal_entity", [{"legal_entity_key": "l1", "household_key": "h1", "name": "Ada Holdings LLC"}])
    loader.load("security", [{"security_key": "s1"}])
    loader.load("account", [{"account_key": "a1", "household_key": "h1", "name": "Joint", "is_counted": True}])
    owner = {"account_key": "a1", "household_key": "h1", "person_key": "p1", "role": "primary", "share_ratio": Decimal("0.5")}  # fmt: skip
    rest = {"account_key": "a1", "legal_entity_key": "l1", "role": "primary", "share_ratio": Decimal("0.25")}
    loader.load("account_owner", [owner | {"account_owner_key": "o1"}, rest | {"account_owner_key": "o2"}])
    value = {"account_value_key": "a1", "account_key": "a1"}
    loader.load("account_value", [value | {"market_value_usd": Decimal(20)}])
    loader.load("position", [position("k1", 10), position("k2", 20)])
    first = loader.now()
    loader.load("account_value", [value | {"market_value_usd": Decimal(30)}])
    loader.load("position", [position("k1", 11), position("k2", 20)])
    pull, path = loader.pull, loader.partition.path
    loader.load("position", [position("k1", 50)], NEXT)
    link(shared_database, pull)
    web = schema.engine(shared_database.url("tributary_web"))
    yield Loaded(web, first, pull, path)
    for engine in (web, loader.engine, other.engine):
        engine.dispose()


def link(database: Database, pull: Pull) -> None:
    """Record calls; link the household with another vendor's; record a finding, Salesforce records, dead letters and a break."""
    database.do(
        "insert into control.api_call (called_at, vendor, table_name, method, path, status, latency_ms, bytes, correlation_id, run_id)"
        " values (now(), 'made-up', 'position', 'POST', '/positions', 200, 5, 9, 'c-1', :run), (now(), 'made-up', 'position', 'GET', '/other',"
        " 200, 5, 9, 'c-2', 'another run')",
        run=pull.run_id,
    )
    database.do(
        "insert into warehouse.identity (entity, id, identity_id, how, recorded_from, source_run_id) select 'household', a.id, b.id,"
        " 'same tax id', now(), 'run-9' from warehouse.source_key a, warehouse.source_key b where a.source_key = 'h1' and b.source_key = 'x9'"
    )
    database.do(
        "insert into control.finding (vendor, rule, subject_entity, subject_id, household_id, severity, measure, details,"
        " business_date_opened, opened_run_id, business_date_seen, seen_run_id) select 'made-up', 'idle_cash', 'account', id, (select id"
        " from warehouse.source_key where source_key = 'h1'), 'warning', 1, 'much cash', :day, 'run-9', :day, 'run-9'"
        " from warehouse.source_key where entity = 'account' and source_key = 'a1'",
        day=DAY,
    )
    for key, name in (
        ("demo:other:household:x9", "001000000000001AAA"),
        ("demo:made-up:account:a1", "a01000000000002AAA"),
    ):
        database.do(
            "insert into control.crm_state (sobject, external_key, payload, salesforce_id, job_id)"
            " values ('Account', :key, '{\"Balance\": \"15.50\"}', :id, 'job-1')",
            key=key, id=name,
        )  # fmt: skip
    record_dead_letter(database, "k1", DAY, vendor="made-up", table="position")
    record_dead_letter(database, "demo:other:household:x9", DAY, vendor="salesforce", table="Account", stage="crm")
    record_check(database, DAY, vendor="made-up", breaks=1, actual=90)
    database.do(
        "insert into control.control_total_break (run_id, vendor, business_date, account_id, expected, actual, difference, is_explained)"
        " select 'run-1', 'made-up', :day, id, 100, 90, -10, false from warehouse.source_key where entity = 'account'",
        day=DAY,
    )


def test_a_balance_consists_of_the_positions_with_the_owners_share(loaded: Loaded) -> None:
    shown = loaded.read("household", "h1")
    rows = [(row["source_key"], row["share_ratio"], row["value_usd"]) for row in shown.parts if row["entity"] == "position"]  # fmt: skip
    assert rows == [("k1", Decimal("0.5"), Decimal("5.5")), ("k2", Decimal("0.5"), Decimal(10))]
    assert (shown.sum_parts("position"), shown.sum_parts("account_value")) == (Decimal("15.50"), Decimal(15))


def test_a_person_a_legal_entity_and_an_account_have_balances(loaded: Loaded) -> None:
    assert loaded.read("legal_entity", "l1").sum_parts("position") == Decimal("7.75")
    assert loaded.read("person", "p1").sum_parts("position") == Decimal("15.50")
    assert loaded.read("account", "a1").sum_parts("position") == Decimal("23.25")
    assert loaded.read("security", "s1").parts == []


def test_a_balance_is_shown_as_known_at_an_earlier_time(loaded: Loaded) -> None:
    earlier = loaded.read("household", "h1", at=loaded.first)
    assert (earlier.sum_parts("position"), earlier.sum_parts("account_value")) == (Decimal(15), Decimal(10))
    assert loaded.read("household", "h1", at=loaded.first - timedelta(days=9)).versions == []


def test_a_correction_shows_both_versions_each_with_its_load(loaded: Loaded) -> None:
    newest, oldest = loaded.read("position", "k1").versions
    assert (newest["fields"]["quantity"], oldest["fields"]["quantity"]) == (11, 10)
    assert newest["recorded_to"] is None
    assert newest["recorded_from"] == oldest["recorded_to"]
    assert newest["ledger_id"] != oldest["ledger_id"]
    [only] = loaded.read("position", "k1", at=loaded.first).versions
    assert only["fields"]["quantity"] == 10


def test_a_version_leads_to_its_load_run_partition_manifest_and_calls(loaded: Loaded) -> None:
    load = loaded.read("position", "k1").load
    assert load
    assert (load.ledger["run_id"], load.ledger["partition"]) == (
        loaded.pull.run_id,
        loaded.partition,
    )
    assert load.ledger["manifest_hash"] == loaded.pull.manifest_hash
    assert [(call["method"], call["path"], call["status"], call["correlation_id"]) for call in load.calls] == [
        ("POST", "/positions", 200, "c-1")
    ]


@pytest.mark.parametrize(
    ("vendor", "table", "entity", "key"),
    [
        ("orion", "assets", "position", "k1"),
        ("orion", "no such table", "position", None),
        ("tamarac", "holdings", "position", None),
        ("no such vendor", "assets", "position", None),
    ],
)
def test_the_key_of_a_row_is_known_if_the_record_has_the_same(
    vendor: str, table: str, entity: str, key: str | None
) -> None:
    assert lineage.find_row_key(Record(entity, vendor, "k1"), table) == key


def test_without_a_day_the_balance_is_that_of_the_newest_loaded_day(loaded: Loaded) -> None:
    shown = loaded.read("household", "h1", None)
    assert (shown.day, shown.sum_parts("position")) == (NEXT, Decimal(25))


def test_a_load_leads_to_the_records_that_it_wrote(loaded: Loaded) -> None:
    newest, oldest = loaded.read("position", "k1").versions
    with loaded.web.connect() as db:
        written = [
            [row["source_key"] for row in lineage.read_written(db, each["ledger_id"], 0, 50)]
            for each in (newest, oldest)
        ]
        second = lineage.read_written(db, oldest["ledger_id"], 1, 50)
    assert written == [["k1"], ["k1", "k2"]]
    assert [row["source_key"] for row in second] == ["k2"]


def test_a_run_leads_to_its_loads(loaded: Loaded) -> None:
    with loaded.web.connect() as db:
        [row] = lineage.read_loads_of_run(db, loaded.pull.run_id)
    assert (row["entity"], row["updated"], row["unchanged"]) == ("position", 1, 1)


def test_a_row_leads_to_its_records_its_loads_and_its_dead_letters(loaded: Loaded) -> None:
    with loaded.web.connect() as db:
        row = lineage.read_row(db, "made-up", "position", DAY, "k1", LATER)
        other = lineage.read_row(db, "made-up", "position", DAY, "no such key", LATER)
    assert row.records == (Record("position", "made-up", "k1"),)
    assert len(row.loads) == 2
    assert [each["reasons"] for each in row.dead_letters] == ["price: not a number"]
    assert (other.records, other.dead_letters) == ((), [])


def test_a_record_leads_to_the_same_record_at_other_vendors(loaded: Loaded) -> None:
    cluster = loaded.read("household", "h1").cluster
    assert [(row["vendor"], row["source_key"], row["is_anchor"]) for row in cluster] == [
        ("other", "x9", True),
        ("made-up", "h1", False),
    ]
    assert loaded.read("household", "h1", at=loaded.first).cluster[0]["vendor"] == "made-up"


def test_a_record_leads_to_its_findings_and_to_what_salesforce_accepted_last(loaded: Loaded) -> None:
    shown = loaded.read("household", "h1")
    assert [row["details"] for row in shown.findings] == ["much cash"]
    assert [(row["external_key"], row["fields"]["Balance"]) for row in shown.salesforce] == [
        ("demo:other:household:x9", "15.50")
    ]


def test_a_value_of_an_account_leads_to_the_accounts_finding_and_salesforce_record(loaded: Loaded) -> None:
    shown = loaded.read("account_value", "a1")
    assert [row["details"] for row in shown.findings] == ["much cash"]
    assert [row["external_key"] for row in shown.salesforce] == ["demo:made-up:account:a1"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("family", [("household", "h1"), ("household", "x9"), ("person", "p1")]),
        ("holdings", [("legal_entity", "l1")]),
        ("100%", [("household", "h1")]),
        ("%", [("household", "h1")]),
        ("_", []),
        ("h1", [("household", "h1")]),
        ("001000000000001", [("household", "x9")]),
        ("001000000000001AAA", [("household", "x9")]),
        ("demo:made-up:account:a1", [("account", "a1")]),
        ("elsewhere:made-up:account:a1", []),
        ("", []),
        ("' or true --", []),
    ],
)
def test_a_search_finds_names_keys_and_salesforce_records(
    loaded: Loaded, text: str, expected: list[tuple[str, str]]
) -> None:
    with loaded.web.connect() as db:
        found = lineage.search(db, text)
    assert sorted((row["entity"], row["source_key"]) for row in found) == expected


def test_dead_letters_breaks_and_findings_lead_to_their_records(loaded: Loaded) -> None:
    with loaded.web.connect() as db:
        rows = {each.name: [row["lineage"] for row in read_list(db, each, {}, 0, 9).rows] for each in (DEAD_LETTER_ROWS, BREAKS, FINDINGS)}  # fmt: skip
        [finding] = rows["findings"]
        assert lineage.find_record(db, finding["record_id"], None) == Record("account", "made-up", "a1")
        crm, row = rows["dead-letter-rows"]
        assert lineage.find_record(db, None, crm["salesforce"]) == Record("household", "other", "x9")
        assert lineage.find_record(db, 0, None) is None
    assert row == {"vendor": "made-up", "table": "position", "day": str(DAY), "key": "k1"}
    assert rows["breaks"] == [{"entity": "account", "vendor": "made-up", "key": "a1", "on": str(DAY)}]


@pytest.fixture
def away(database: Database, tmp_path: Path) -> Iterator[Loaded]:
    """A household with half of a managed account, a planner's copy of it, and a house; at first only with the managed account."""
    firm, planner = Loader(database, tmp_path / "firm", "made-up"), Loader(database, tmp_path / "planner", "planner")
    firm.load("household", [{"household_key": "h1", "name": "Family"}])
    planner.load("household", [{"household_key": "x9", "name": "Family"}])
    firm.load("account", [{"account_key": "a1", "household_key": "h1", "name": "Joint", "is_counted": True}])
    firm.load("account_owner", [{"account_owner_key": "o1", "account_key": "a1", "household_key": "h1", "role": "primary",
                                 "share_ratio": Decimal("0.5")}])  # fmt: skip
    value = {"account_value_key": "v1", "account_key": "a1"}
    firm.load("account_value", [value | {"market_value_usd": Decimal("20.01")}])
    first = firm.now()
    firm.load("account_value", [value | {"market_value_usd": Decimal("30.01")}], NEXT)
    planner.load(
        "outside_account",
        [{"outside_account_key": key, "household_key": "x9", "name": key} for key in ("copy", "house")],
    )
    planner.load("outside_value", [{"outside_value_key": f"{key} 1", "outside_account_key": key, "market_value_usd": Decimal(100),
                                    "requested_on": DAY} for key in ("copy", "house")])  # fmt: skip
    for entity, record, original in (("household", "x9", "h1"), ("account", "copy", "a1")):
        database.do(
            "insert into warehouse.identity (entity, id, identity_id, how, recorded_from, source_run_id) select :entity, a.id, b.id,"
            " 'test', now(), 'run-9' from warehouse.source_key a, warehouse.source_key b where a.source_key = :record and b.source_key = :original",
            entity=entity, record=record, original=original,
        )  # fmt: skip
    web = schema.engine(database.url("tributary_web"))
    yield Loaded(web, first, firm.pull, firm.partition.path)
    for engine in (web, firm.engine, planner.engine):
        engine.dispose()


def test_net_worth_consists_of_managed_and_outside_accounts_and_names_the_copies(away: Loaded) -> None:
    shown = away.read("household", "h1")
    assert [(row["account_key"], row["is_managed"], row["share_ratio"], row["value_usd"], row["counted_key"]) for row in shown.net_worth] == [
        ("a1", True, Decimal("0.5"), Decimal("15.005"), None),
        ("house", False, 1, 100, None),
        ("copy", False, 1, 100, "a1"),
    ]  # fmt: skip
    assert shown.net_worth_usd == Decimal("115.01")
    assert away.read("account", "a1").net_worth == []


def test_every_record_of_a_household_has_its_net_worth(away: Loaded) -> None:
    with away.web.connect() as db:
        planners = lineage.read_lineage(db, Record("household", "planner", "x9"), DAY, LATER)
    assert planners.net_worth == away.read("household", "h1").net_worth


def test_a_copy_of_another_households_account_is_not_counted(away: Loaded, database: Database) -> None:
    database.do("delete from warehouse.identity where entity = 'household'")
    with away.web.connect() as db:
        planners = lineage.read_lineage(db, Record("household", "planner", "x9"), DAY, LATER)
    assert [(row["account_key"], row["counted_key"]) for row in planners.net_worth] == [("house", None), ("copy", "a1")]
    assert (planners.net_worth_usd, away.read("household", "h1").net_worth_usd) == (Decimal(100), Decimal("15.01"))


def test_net_worth_is_shown_as_known_at_an_earlier_time(away: Loaded, database: Database) -> None:
    earlier = away.read("household", "h1", at=away.first)
    assert [(row["account_key"], row["business_date"]) for row in earlier.net_worth] == [("a1", DAY)]
    query = "select net_worth_usd from mart.net_worth_as_known(:at)"
    assert earlier.net_worth_usd == database.value(query, at=away.first) == Decimal("10.01")


def test_net_worth_without_values_is_unknown_as_in_the_mart(away: Loaded, database: Database) -> None:
    for table in ("account_value", "outside_value"):
        database.do(f"update warehouse.{table} set market_value_usd = null")
    shown = away.read("household", "h1").net_worth_usd
    assert shown is database.value("select net_worth_usd from mart.net_worth") is None


def test_each_part_of_a_net_worth_leads_to_its_versions(away: Loaded) -> None:
    for row in away.read("household", "h1").net_worth:
        for entity, key in ((row["entity"], row["source_key"]), (row["account_entity"], row["account_key"])):
            with away.web.connect() as db:
                part = lineage.read_lineage(db, Record(entity, row["vendor"], key), row["business_date"], LATER)
            assert part.versions
        assert row["ledger_id"]


def test_the_pages_role_reads_records_by_key_only(loaded: Loaded) -> None:
    for table in (
        "warehouse.position",
        "control.crm_state",
        "mart.aum_by_household",
        "mart.record_version",
    ):
        with loaded.web.connect() as db, pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
            db.execute(sa.text(f"select 1 from {table}"))


def test_the_balance_of_every_household_is_that_of_the_mart(start_firm: Callable[..., Firm]) -> None:
    firm = start_firm(households=5)
    firm.day()
    web = schema.engine(firm.database.url("tributary_web"))
    expected = firm.database.rows(
        "select k.source_key, m.aum_usd from mart.aum_by_household m join warehouse.source_key k on k.id = m.household_id"
        " where m.business_date = :day",
        day=LAST,
    )
    with web.connect() as db:
        shown = {
            row["source_key"]: lineage.read_lineage(
                db, Record("household", "orion", row["source_key"]), LAST, LATER
            ).sum_parts("position")
            for row in expected
        }
    web.dispose()
    assert len(expected) >= 5
    assert shown == {row["source_key"]: row["aum_usd"] for row in expected}
