"""Whose data was read or changed: by a run, an actor, or in a period."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from include import cli
from include.audit import exposure, trail
from include.audit.exposure import Exposure, Scope
from include.canonical import ENTITIES, Entity
from include.control import ledger
from include.control.ledger import Counts
from include.warehouse import schema
from local.postgres import Postgres
from tests.conftest import PASSWORDS, Database, new_database
from tests.warehouse.loading import DAY, NEXT, Loader, dead_letter, position

ALL = Scope(since=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def six_runs(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loader]:
    """Ada with an account and positions, Bob without, and their households; loaded by the runs 1 to 6. Its database is a template."""
    with new_database(postgres) as database:
        loader = Loader(database, tmp_path_factory.mktemp("staging"), "orion")
        loader.load("household", [{"household_key": key, "name": f"Family {key}"} for key in ("h1", "h2")])
        loader.load("person", [
            {"person_key": "ada", "name": "Ada", "household_key": "h1", "birth_date": DAY, "tax_id_last4": "1111"},
            {"person_key": "bob", "name": "Bob", "household_key": "h2", "email": "bob@example.com"},
        ])  # fmt: skip
        loader.load("account", [{"account_key": "a1", "household_key": "h1"}])
        loader.load("account_owner", [{"account_owner_key": "o1", "account_key": "a1", "household_key": "h1", "person_key": "ada",
                                       "share_ratio": Decimal(1)}])  # fmt: skip
        loader.load("security", [{"security_key": "s1"}])
        loader.load("position", [position("k1", 5)])
        loader.engine.dispose()
        database.close()
        yield loader


@pytest.fixture
def database(postgres: Postgres, six_runs: Loader) -> Iterator[Database]:
    """A database of the test's own after the six runs, with rights of its own."""
    with new_database(postgres, six_runs.database.admin_url.rsplit("/", 1)[1]) as database:
        schema.create_roles(database.admin_url, PASSWORDS)
        yield database


@pytest.fixture
def firm(database: Database, six_runs: Loader, tmp_path: Path) -> Iterator[Loader]:
    """The firm after the six runs."""
    loader = Loader(database, tmp_path, "orion", after=six_runs)
    yield loader
    loader.engine.dispose()


@pytest.fixture
def reader(firm: Loader) -> Iterator[sa.Engine]:
    engine = schema.engine(firm.database.url("tributary_read"))
    yield engine
    engine.dispose()


def read(reader: sa.Engine, scope: Scope) -> dict[str | None, tuple[list[str], list[str]]]:
    """Return kinds of data and of access by the client's name."""
    return {row["name"]: (row["data_kinds"], row["how"]) for row in exposure.read(reader, scope, "Pat").clients}


def find_gaps(exposed: Exposure, action: str) -> list[str]:
    return [gap for gap in exposed.gaps if f" x {action}: " in gap]


def id_of(firm: Loader, key: str) -> int:
    return int(firm.database.value("select id from warehouse.source_key where source_key = :key", key=key))


def test_a_run_changed_the_data_of_the_owner_of_an_account(firm: Loader, reader: sa.Engine) -> None:
    assert read(reader, Scope(run="run-6")) == {"Ada": (["balances and holdings"], ["changed"])}


def test_a_run_lists_the_kinds_that_each_person_has(firm: Loader, reader: sa.Engine) -> None:
    assert read(reader, Scope(run="run-2")) == {
        "Ada": (["birth date", "name", "tax id (hash, last four digits)"], ["changed"]),
        "Bob": (["contact details", "name"], ["changed"]),
    }


def test_a_whole_pull_has_read_every_record_that_it_did_not_change(firm: Loader, reader: sa.Engine) -> None:
    firm.load("household", [{"household_key": "h1", "name": "Family h1"}, {"household_key": "h2", "name": "New"}], NEXT)
    assert read(reader, Scope(run="run-7")) == {
        "Family h1": (["name"], ["read"]),
        "New": (["name"], ["changed", "read"]),
    }


def test_the_list_counts_rows_of_a_partial_pull_that_it_can_not_resolve(firm: Loader, reader: sa.Engine) -> None:
    firm.load("household", [{"household_key": "h1", "name": "Family h1"}], pulled="selected")
    exposed = exposure.read(reader, Scope(run="run-7"), "Pat")
    assert exposed.clients == []
    assert find_gaps(exposed, "data.loaded")[0].startswith("1 x data.loaded: rows that a partial pull received")


def test_a_pull_of_edits_has_not_read_every_record(firm: Loader, reader: sa.Engine) -> None:
    firm.stage("household", [{"household_key": "h1", "name": "Family h1"}])
    firm.pull = replace(firm.pull, window_to=firm.now())
    firm.publish()
    assert read(reader, Scope(run="run-7")) == {}


def test_a_rejected_row_exposes_the_record_whose_key_can_be_read(firm: Loader, reader: sa.Engine) -> None:
    firm.load("person", [], NEXT, dead=["bob", "unknown"])
    assert read(reader, Scope(run="run-7"))["Bob"] == (["rejected rows"], ["read"])
    assert find_gaps(exposure.read(reader, Scope(run="run-7"), "Pat"), "data.rejected")[0].startswith("1 x")


def test_records_of_no_client_are_not_listed(firm: Loader, reader: sa.Engine) -> None:
    firm.load("security", [], NEXT, dead=["s1"])
    assert read(reader, Scope(run="run-5")) == read(reader, Scope(run="run-7")) == {}


def test_an_account_without_owner_leads_to_its_household(firm: Loader, reader: sa.Engine) -> None:
    firm.load("account", [{"account_key": "a2", "household_key": "h2"}], pulled="selected")
    assert read(reader, Scope(run="run-7")) == {"Family h2": (["accounts"], ["changed"])}


def test_a_record_that_leads_to_no_client_is_listed_without_one(firm: Loader, reader: sa.Engine) -> None:
    firm.load("account", [{"account_key": "a2"}], pulled="selected")
    assert read(reader, Scope(run="run-7")) == {None: (["accounts"], ["changed"])}


def act(firm: Loader, action: str, subject: str, **details: Any) -> None:
    with firm.engine.begin() as connection:
        trail.record(connection, "ursula", action, subject, details)


def test_an_actor_has_read_the_records_of_a_page_about_identity(firm: Loader, reader: sa.Engine) -> None:
    act(firm, "identity.opened", "open", records=[f"person {id_of(firm, 'bob')}"])
    assert read(reader, Scope(actor="ursula")) == {"Bob": (["contact details", "name"], ["read"])}
    assert read(reader, Scope(actor="victor")) == {}


def test_a_decision_about_identity_changes_both_records(firm: Loader, reader: sa.Engine) -> None:
    left, right = sorted((id_of(firm, "ada"), id_of(firm, "bob")))
    firm.database.do(
        "insert into control.identity_decision (entity, left_id, right_id, is_same, reason, decided_by)"
        f" values ('person', {left}, {right}, false, 'x', 'ursula')"
    )
    assert read(reader, Scope(actor="ursula")) == {name: (["identity"], ["changed"]) for name in ("Ada", "Bob")}


def test_a_program_has_read_findings_and_dead_letters(firm: Loader, reader: sa.Engine) -> None:
    finding = firm.database.value(
        "insert into control.finding (vendor, rule, subject_entity, subject_id, severity, measure, details, business_date_opened,"
        " opened_run_id, business_date_seen, seen_run_id) values ('orion', 'r', 'person', :id, 'info', 1, 'x', '2026-11-20', 'r',"
        " '2026-11-20', 'r') returning finding_id",
        id=id_of(firm, "ada"),
    )
    firm.load("person", [], NEXT, dead=["bob"])
    dead_letter_id = firm.database.value("select dead_letter_id from control.dead_letter")
    act(firm, "api.read", "findings", ids=[finding])
    act(firm, "api.read", "dead-letters", ids=[dead_letter_id])
    assert read(reader, Scope(actor="ursula")) == {
        "Ada": (["findings"], ["read"]),
        "Bob": (["rejected rows"], ["read"]),
    }


def test_a_document_leads_to_the_household_of_its_envelope(firm: Loader, reader: sa.Engine) -> None:
    firm.load(
        "envelope",
        [{"envelope_key": "e1", "status": "completed", "is_final": True, "household_reference": "orion:household:h2"}],
    )
    firm.database.do(
        "insert into control.document (vendor, envelope_key, kind, content_hash, bytes, retain_until)"
        " values ('orion', 'e1', 'signed', repeat('a', 64), 5, '2033-01-01')"
    )
    act(firm, "document.opened", "a" * 64)
    assert read(reader, Scope(actor="ursula")) == {"Family h2": (["signed documents"], ["read"])}


def test_a_record_shown_as_of_a_time_was_read(firm: Loader, reader: sa.Engine) -> None:
    act(firm, "as_of.read", "person orion bob")
    assert read(reader, Scope(actor="ursula")) == {"Bob": (["contact details", "name"], ["read"])}


def send(firm: Loader, key: str) -> None:
    """Record a sync that sent three persons; only the one with this key is still as the sync left it."""
    firm.database.do(
        "insert into control.ledger (ledger_id, run_id, vendor, table_name, entity, business_date, stage, pull_id, pulled, extracted_at,"
        " sent, created) values (900, 'sync', 'salesforce', 'Account', 'person', '2026-11-20', 'crm', 'p', 'current', now(), 3, 3)"
    )
    firm.database.do(
        "insert into control.crm_job (job_id, sobject, entity, run_id, business_date, sent_by, file_sha256, rows)"
        " values ('j1', 'Account', 'person', 'sync', '2026-11-20', 'bulk', '', 3)"
    )
    firm.database.do(
        "insert into control.crm_state (sobject, external_key, payload, salesforce_id, job_id)"
        " values ('Account', 'firm\\:orion\\:person\\:' || :key, '{}', '001', 'j1')",
        key=key,
    )


def test_a_sync_changed_the_records_that_it_was_the_last_to_send(firm: Loader, reader: sa.Engine) -> None:
    send(firm, "bob")
    exposed = exposure.read(reader, Scope(run="sync"), "Pat")
    assert [(row["name"], row["how"]) for row in exposed.clients] == [("Bob", ["changed"])]
    assert find_gaps(exposed, "salesforce.sent")[0].startswith("2 x")


def test_a_sync_changed_a_record_whose_key_was_rotated_since(firm: Loader, reader: sa.Engine) -> None:
    before, after = 64 * "a", 64 * "b" + "~2"
    firm.load("person", [{"person_key": after, "name": "Cleo"}], pulled="selected")
    firm.database.do("insert into control.first_hash values (:before, :after)", before=before, after=after)
    send(firm, before)
    assert read(reader, Scope(run="sync")).keys() == {"Cleo"}


def test_a_person_has_the_name_that_the_firm_shows_now(firm: Loader, reader: sa.Engine) -> None:
    firm.load("person", [{"person_key": "bob", "name": "Robert", "household_key": "h2"}], NEXT, pulled="selected")
    assert "Robert" in read(reader, Scope(run="run-2"))


def test_a_period_lists_what_happened_in_it_alone(firm: Loader, reader: sa.Engine) -> None:
    before = firm.now()
    act(firm, "as_of.read", "person orion bob")
    assert read(reader, Scope(since=before, until=firm.now())).keys() == {"Bob"}
    assert read(reader, Scope(until=before)).keys() == {"Ada", "Bob", "Family h1", "Family h2"}
    assert read(reader, Scope(since=before + timedelta(days=1), until=before + timedelta(days=2))) == {}


@pytest.mark.parametrize("action", ["report.opened", "operations.opened", "message.opened"])
def test_the_list_names_pages_that_it_can_not_resolve(firm: Loader, reader: sa.Engine, action: str) -> None:
    act(firm, action, "x")
    exposed = exposure.read(reader, Scope(actor="ursula"), "Pat")
    assert find_gaps(exposed, action)
    assert exposed.gaps[-len(exposure.LIMITS) :] == list(exposure.LIMITS)


def test_the_list_counts_dead_letters_that_name_no_record(firm: Loader, reader: sa.Engine) -> None:
    firm.load("person", [], NEXT, dead=[dead_letter("person", None)])
    firm.database.do(
        "update control.dead_letter set status = 'discarded', discard_reason = 'x', discarded_by = 'ursula'"
    )
    exposed = exposure.read(reader, Scope(actor="ursula"), "Pat")
    assert find_gaps(exposed, "dead_letter.discarded") == [
        "1 x dead_letter.discarded: dead letters that name no record"
    ]


def test_the_list_counts_rows_that_were_disposed_of_since(firm: Loader, reader: sa.Engine) -> None:
    began = firm.now()
    for action, subject, count in (
        ("data.disposed", "warehouse.person", 3),
        ("data.disposed", "control.dead_letter", 4),
        ("data.disposed", "control.api_call", 9),
        ("person.forgotten", "17", 0),
    ):
        firm.database.do(
            "insert into control.audit (happened_at, database_user, actor, action, subject, details)"
            " values (clock_timestamp(), 'x', 'run r', :action, :subject, jsonb_build_object('rows', cast(:count as int)))",
            action=action, subject=subject, count=count,
        )  # fmt: skip
    gaps = exposure.read(reader, Scope(run="run-2"), "Pat")
    assert find_gaps(gaps, "data.disposed")[0].startswith("7 x data.disposed: ")
    assert find_gaps(gaps, "person.forgotten")[0].startswith("1 x person.forgotten: ")
    assert find_gaps(exposure.read(reader, Scope(since=firm.now(), until=firm.now()), "Pat"), "data.disposed") == []
    assert find_gaps(exposure.read(reader, Scope(since=began, until=began), "Pat"), "data.disposed")


def test_the_list_does_not_count_a_withdrawal_as_unchanged_rows(firm: Loader, reader: sa.Engine) -> None:
    pull = replace(firm.pull, run_id="withdrawing", pull_id="withdrawal-5", pulled="pushed")
    with firm.engine.begin() as connection:
        ledger.record(connection, pull, "load", Counts(withdrawn=1), "person")
    [gap] = find_gaps(exposure.read(reader, Scope(run="withdrawing"), "Pat"), "data.loaded")
    assert gap.startswith("1 x data.loaded: records of a push that was withdrawn")


def test_the_list_names_the_pushes_of_a_program(firm: Loader, reader: sa.Engine) -> None:
    firm.database.do("select control.push('portal', 'i1', sha256('x'), 'an id', 'orion', 'clients', '')")
    assert find_gaps(exposure.read(reader, Scope(actor="portal"), "Pat"), "api.pushed")


def test_reading_the_list_is_recorded(firm: Loader, reader: sa.Engine) -> None:
    exposure.read(reader, Scope(run="run-2"), "Pat")
    [entry] = firm.rows("select * from control.audit where action = 'exposure.read'")
    assert (entry["actor"], entry["subject"], entry["details"]["clients"]) == ("Pat", "run-2", 2)


@pytest.fixture
def command(firm: Loader, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("TRIBUTARY_READ_URL", firm.database.url("tributary_read"))
    return ["exposed", "--by", "Pat"]


def test_the_command_prints_a_table_and_what_it_can_not_know(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command, "--run", "run-2"]) == 0
    header, ada, bob, _, title, *gaps = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["client", "client_id", "name"]
    assert ("Ada" in ada, "Bob" in bob) == (True, True)
    assert title == "This list can't know:"
    assert any("SQL queries" in gap for gap in gaps)


def test_the_command_prints_csv_without_formulas(
    command: list[str], firm: Loader, capsys: pytest.CaptureFixture[str]
) -> None:
    firm.load("household", [{"household_key": "h3", "name": "=1+1"}], pulled="selected")
    assert cli.main([*command, "--run", "run-7", "--csv"]) == 0
    printed = capsys.readouterr()
    [row] = csv.DictReader(io.StringIO(printed.out))
    assert (row["name"], row["data_kinds"]) == ("'=1+1", "name")
    assert "SQL queries" in printed.err


def test_the_command_needs_a_run_an_actor_or_a_period(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(command) == 1
    assert "Name a run" in capsys.readouterr().err


KINDS = {
    "birth_date": "birth date",
    "gender": "gender",
    "tax_id_hash": "tax id (hash, last four digits)",
    "tax_id_last4": "tax id (hash, last four digits)",
    "account_number_hash": "account number (hash, last four digits)",
    "account_number_last4": "account number (hash, last four digits)",
    "email": "contact details",
    "actor_email": "contact details",
    "phone": "contact details",
    "street": "contact details",
    "city": "contact details",
    "postal_code": "contact details",
    "first_name": "name",
    "actor_name": "name",
}
SAMPLES = {
    "bigint": -7, "date": DAY, "timestamp with time zone": datetime(2026, 11, 20, tzinfo=UTC), "boolean": True,
    "numeric(20,2)": Decimal(1),
}  # fmt: skip
OF_CLIENTS = [entity for entity in ENTITIES if entity.name not in ("representative", "security", "template")]


@pytest.mark.parametrize(
    ("entity", "column"),
    [(entity, column) for entity in OF_CLIENTS for column in entity.fields if column in KINDS],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_field_belongs_to_its_kind_of_data(warehouse: Database, entity: Entity, column: str) -> None:
    assert KINDS[column] in find_kinds(warehouse, entity, column)


@pytest.mark.parametrize("entity", OF_CLIENTS, ids=lambda entity: entity.name)
def test_a_record_of_a_client_always_has_a_kind_of_data(warehouse: Database, entity: Entity) -> None:
    assert find_kinds(warehouse, entity, "name" if entity.name in ("household", "person", "legal_entity") else "")


def find_kinds(database: Database, entity: Entity, column: str) -> list[str]:
    """Return the kinds of data of a record that has no value but in one column."""
    engine = schema.engine(database.admin_url)
    with engine.connect() as connection:
        required = connection.execute(
            sa.text(
                "select attname, format_type(atttypid, atttypmod) from pg_attribute where attrelid = cast(:table as regclass)"
                " and attnum > 0 and (attnotnull or attname = :column) and not atthasdef"
            ),
            {"table": f"warehouse.{entity.name}", "column": column},
        ).tuples()
        connection.execute(sa.text("select warehouse.ensure_month('2026-11-20')"))
        values = {name: SAMPLES.get(kind, "sent") for name, kind in required}
        names = ", ".join(values)
        places = ", ".join(f":{name}" for name in values)
        connection.execute(sa.text(f"insert into warehouse.{entity.name} ({names}) values ({places})"), values)
        kinds = connection.scalar(
            sa.text("select data_kinds from mart.record_version where entity = :entity and source_run_id = -7"),
            {"entity": entity.name},
        )
        connection.rollback()
    engine.dispose()
    return list(kinds)
