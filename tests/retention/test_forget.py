"""A person is forgotten: nothing of them is left in any table, file or page, except what a duty keeps; no other person loses data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from include import cli
from include.control import answers, inbox
from include.control.answers import format_place
from include.crm.sync import difference
from include.errors import ConfigurationError, InputRejected
from include.keys.keyring import Keyring, generate_value_key
from include.retention import forget, person, traces
from include.retention.forget import Forgotten, Store, find_returned
from include.retention.staging import list_pulls
from include.sensitive import Redactor
from include.staging.lines import read_lines
from include.staging.partitions import Staging
from include.vendors import named
from include.warehouse import schema
from tests.conftest import Database, Firm
from tests.firm_keys import KEYRING, open_body, register_inbox_key, write_keyring
from tests.retention.expired import insert_open_dead_letter

FIRST, LAST, EMAIL, PHONE = "Canaria", "O'Forget-Mé", "canary@forget.example", "555-867-5309"
NAME = f"{FIRST} {LAST}"
VALUE_KEY = Keyring.parse(f"{write_keyring()} {generate_value_key('test')[0]}")
CANARIES = [text.lower() for text in (NAME, LAST, EMAIL, PHONE)]


def spell(text: str) -> set[str]:
    return {text, json.dumps(text)[1:-1].lower(), text.replace("'", "&#x27;")}


def load_a_prospect(firm: Firm) -> None:
    firm.day()
    key = firm.database.value("select min(person_key) from warehouse.client_risk r join warehouse.person p using (person_id, vendor)")  # fmt: skip
    fields = {"fname": FIRST, "lname": LAST, "email": EMAIL, "phone": PHONE}
    firm.sandbox.admin("nitrogen/set_fields", table="clients", id=int(key), set=fields)
    firm.day()
    plant(firm.database, key, firm.site.staging)
    firm.sandbox.admin("nitrogen/delete", table="clients", id=int(key))
    for entity in ("portfolio", "questionnaire"):
        query = f"select distinct {entity}_key as id from warehouse.{entity} join warehouse.person using (person_id) where person_key = :key"
        for row in firm.database.rows(query, key=key):
            firm.sandbox.admin("nitrogen/delete", table=f"{entity}s", id=int(row["id"]))
    firm.day()


@pytest.fixture
def firm(start_firm: Callable[..., Firm]) -> Firm:
    """A firm with one prospect, whom it knows from a risk questionnaire, in every kind of place."""
    return start_firm(named("nitrogen"), after=load_a_prospect, households=8)


def plant(database: Database, key: str, staging: Staging) -> None:
    """Store the person in the places that no vendor's day fills."""
    person_id = database.value("select id from warehouse.source_key where entity = 'person' and source_key = :key", key=key)  # fmt: skip
    body = json.dumps({"signer": NAME}).encode()
    register_inbox_key(database)
    database.do(
        "insert into control.key (purpose, key_id, fingerprint, place) values ('value', 'test', :fingerprint, 1)",
        fingerprint=VALUE_KEY.keys[-1].fingerprint,
    )
    sealed = {
        "body": KEYRING.receiving_key.seal(body, inbox.place_of("docusign", "h1")),
        "own": KEYRING.staging.seal_file(b"[]", format_place("nitrogen", "portfolios", key, "c", "e")),
        "rows": KEYRING.staging.seal_file(body, format_place("nitrogen", "t", "x", "c", "e")),
        "other": KEYRING.staging.seal_file(b'["Another client"]', format_place("nitrogen", "t", "y", "c", "e")),
        "value": VALUE_KEY.redactor.seal("123-45-6789"),
        "answer": KEYRING.staging.seal_file(body, answers.place_of("r", "nitrogen", "t", "x")),
    }
    statements = [
        "insert into control.inbox (sender, body, content_hash, headers, processed_at) values ('docusign', :body, 'h1', '{}', now())",
        "insert into control.known_answer (vendor, table_name, request_key, contract, etag, rows) values ('nitrogen', 'portfolios', :key, 'c', 'e', :own), ('nitrogen', 't', 'x', 'c', 'e', :rows), ('nitrogen', 't', 'y', 'c', 'e', :other)",
        "insert into control.answer (run_id, vendor, table_name, request_key, rows, answered_at) values ('r', 'nitrogen', 't', 'x', :answer, now())",
        "insert into control.finding (vendor, rule, subject_entity, subject_id, severity, measure, details, business_date_opened, opened_run_id, business_date_seen, seen_run_id)"
        " values ('nitrogen', 'risk_gap', 'person', :id, 'info', 1, :name || ' is off', '2026-11-20', 'r', '2026-11-20', 'r')",
        "insert into control.crm_state (sobject, external_key, payload, salesforce_id, job_id) values ('Contact', 'test:nitrogen:person:' || :key, jsonb_build_object('Name', cast(:name as text)), '003A', 'j')",
        "insert into control.crm_job (job_id, sobject, entity, run_id, business_date, sent_by, file_sha256, rows, state) values ('j', 'Contact', 'person', 'r', '2026-11-20', 'bulk', '', 1, 'closed')",
        "insert into control.crm_sent (job_id, external_key, row_number, payload) values ('j', 'test:nitrogen:membership:' || :key || '\\:9', 0, jsonb_build_object('Name', cast(:name as text)))",
        "insert into warehouse.crm_change (object, salesforce_id, change_type, fields, changed, nulled, committed_at, commit_number, transaction_key, sequence_number, commit_user, origin)"
        " values ('Contact', '003A', 'UPDATE', jsonb_build_object('Email', cast(:email as text)), '{Email}', '{}', now(), 1, 't', 1, 'u', '')",
        "insert into control.dead_letter (run_id, vendor, table_name, business_date, stage, row_key, reasons, partition, part, row_number, describes)"
        " values ('r', 'nitrogen', 'clients', '2026-11-20', 'stage', :key, '{x}', 'p', 'p', 0, jsonb_build_array(jsonb_build_object('entity', 'person', 'key', cast(:key as text))))",
        "insert into warehouse.sealed_value (entity, id, name, value_hash, sealed, source_run_id) values ('person', :id, 'tax_id', 'h', :value, 1)",
        "insert into control.identity_decision (entity, left_id, right_id, is_same, reason, decided_by) values ('person', :id, 999999, false, 'other birth date', 'Pat')",
        "insert into control.request (request_id, caller, what, vendor, params, requested_at, state, ended_at)"
        " values (gen_random_uuid(), 'portal', 'run', 'nitrogen', jsonb_build_object('keys', jsonb_build_array(cast(:key as text))), now(), 'succeeded', now())",
    ]  # fmt: skip
    for statement in statements:
        database.do(statement, **{name: value for name, value in {"key": key, "id": person_id, "name": NAME, "email": EMAIL, **sealed}.items() if f":{name}" in statement})  # fmt: skip
    changes = staging.folder(difference.PLACE)
    changes.write("salesforce-r.html", f"<td>{LAST.replace(chr(39), '&#x27;')}</td><td>{EMAIL.upper()}</td>".encode())
    changes.write("salesforce-s.html", b"<td>Another client</td>")


@pytest.fixture
def store(firm: Firm) -> Iterator[Store]:
    owner = schema.engine(firm.database.url("tributary_migrate"))
    yield Store(owner, firm.site.staging, KEYRING)
    owner.dispose()


def find_key(database: Database) -> str:
    return str(database.value("select person_key from warehouse.person where email = :email limit 1", email=EMAIL))


def open_column(table: str, column: str, row: dict[str, Any]) -> bytes:
    if table == "control.inbox" and row["body"]:
        return open_body(row)
    if table == "control.answer":
        place = answers.place_of(row["run_id"], row["vendor"], row["table_name"], row["request_key"])
        return KEYRING.staging.open_file(bytes(row["rows"]), place)
    if table == "control.known_answer":
        place = format_place(row["vendor"], row["table_name"], row["request_key"], row["contract"], row["etag"])
        return KEYRING.staging.open_file(bytes(row["rows"]), place)
    return bytes(row[column] or b"")


def read_everything(firm: Firm) -> Iterator[tuple[str, str]]:
    """Read every column of every table, every line of every decrypted file of staging, and every page."""
    tables = firm.database.rows(
        "select format('%I.%I', n.nspname, relname) as name, array_agg(attname) filter (where atttypid = 'bytea'::regtype) as bytes"
        " from pg_class c join pg_namespace n on n.oid = relnamespace join pg_attribute on attrelid = c.oid"
        " where relkind in ('r', 'p', 'v') and not relispartition and nspname in ('control', 'warehouse', 'mart') group by 1"
    )
    for table in tables:
        rows = firm.database.rows(f"select cast(t as text) as content from {table['name']} t")
        yield table["name"], "\n".join(row["content"] for row in rows)
        for column in table["bytes"] or ():
            for row in firm.database.rows(f"select * from {table['name']}"):
                yield table["name"], open_column(table["name"], column, row).decode(errors="replace")
    root = firm.folder / "staging"
    for path in root.rglob("*"):
        if path.is_file():
            yield str(path), "\n".join(read_lines(firm.site.staging, str(path.relative_to(root))))


def find_canaries(firm: Firm) -> set[str]:
    words = {word for canary in CANARIES for word in spell(canary)}
    return {place for place, text in read_everything(firm) if any(word in text.lower() for word in words)}


def forget_canary(store: Store, database: Database, *, is_dry: bool = False) -> Forgotten:
    return forget.forget(store, f"nitrogen:{find_key(database)}", "Pat", is_dry=is_dry)


def test_nothing_of_a_forgotten_prospect_is_left_and_no_other_person_loses_data(firm: Firm, store: Store) -> None:
    places = find_canaries(firm)
    assert {"warehouse.person", "control.inbox", "control.answer", "control.known_answer", "control.crm_state", "control.crm_sent", "warehouse.crm_change", "control.finding"} < places  # fmt: skip
    assert any(place.endswith(".parquet") for place in places)
    assert any(place.endswith("salesforce-r.html") for place in places)
    key, others = find_key(firm.database), "select count(*) from warehouse.person where person_key <> :key"
    before = firm.database.value(others, key=key)
    result = forget_canary(store, firm.database)
    assert find_canaries(firm) == set()
    assert result.remaining == {}
    assert firm.database.value(others, key=key) == before > 3
    for table in ("warehouse.client_risk", "warehouse.portfolio", "warehouse.questionnaire", "control.finding", "control.identity_decision", "warehouse.sealed_value"):  # fmt: skip
        assert table in result.rows, table
    assert (
        firm.database.value(
            "select string_agg(request_key, ' ') from control.known_answer where vendor = 'nitrogen' and table_name = 't'"
        )
        == "y"
    )
    assert firm.database.value("select params ->> 'keys' from control.request") == '["forgotten"]'
    assert [name for name, _ in difference.list_pages(firm.site.staging)] == ["salesforce-s.html"]
    newest = max(list_pulls(firm.site.staging), key=lambda each: each.pulled_at)
    assert newest.path not in result.partitions


def test_the_keys_of_the_person_are_in_no_table_but_the_trail(firm: Firm, store: Store) -> None:
    key = find_key(firm.database)
    forget_canary(store, firm.database)
    with store.engine.connect() as connection, pytest.raises(InputRejected):
        person.find(connection, f"nitrogen:{key}")
    for table, column in (("source_key", "source_key"), ("person", "person_key"), ("client_risk", "client_risk_key")):
        assert firm.database.value(f"select count(*) from warehouse.{table} where {column} = :key", key=key) == 0


def test_the_receipt_has_hashes_and_counts_and_not_the_person(firm: Firm, store: Store) -> None:
    key = find_key(firm.database)
    result = forget_canary(store, firm.database)
    [entry] = firm.database.rows("select * from control.audit where action = 'person.forgotten'")
    assert entry["entry_id"] == result.receipt
    assert (entry["actor"], entry["database_user"]) == ("Pat", "tributary_migrate")
    assert entry["subject"] == f"person {KEYRING.redactor.hash(f'nitrogen:{key}')}"
    assert entry["details"]["rows"]["warehouse.person"] >= 1
    assert entry["details"]["partitions"] == len(result.partitions) > 0
    assert not [word for word in CANARIES if word in str(entry).lower()]


def test_a_dry_run_finds_the_same_and_changes_nothing(firm: Firm, store: Store) -> None:
    before = find_canaries(firm)
    planned = forget_canary(store, firm.database, is_dry=True)
    assert find_canaries(firm) == before
    assert firm.database.value("select count(*) from control.audit where action = 'person.forgotten'") == 0
    done = forget_canary(store, firm.database)
    assert planned.partitions == done.partitions
    assert planned.pages == done.pages
    assert {name: count for name, count in done.rows.items() if "request" not in name} == planned.rows
    assert planned.salesforce == done.salesforce == [("Contact", done.salesforce[0][1], "003A")]


def test_a_person_that_comes_back_is_found_by_the_receipt(firm: Firm, store: Store) -> None:
    key = find_key(firm.database)
    insert = (
        "insert into warehouse.person (person_id, vendor, person_key, name, valid_from, recorded_from, source_run_id)"
        " values (12345, 'nitrogen', :key, 'Back Again', '2026-11-21', now(), 1)"
    )
    forget_canary(store, firm.database)
    assert find_returned(firm.engine, store.keyring.redactor) == []
    firm.database.do(insert, key=key)
    assert find_returned(firm.engine, store.keyring.redactor) == [("nitrogen", key)]


def test_a_receipt_from_before_a_rotation_of_the_hash_key_still_finds_the_person(engine: sa.Engine, database: Database) -> None:  # fmt: skip
    receipt = json.dumps({"keys": [Redactor(b"first").hash("nitrogen:7")]})
    database.do("insert into control.audit (happened_at, database_user, actor, action, subject, details) values (now(), 'x', 'x', 'person.forgotten', 'x', cast(:receipt as jsonb))", receipt=receipt)  # fmt: skip
    database.do("insert into warehouse.person (person_id, vendor, person_key, valid_from, recorded_from, source_run_id) values (7, 'nitrogen', '7', '2026-11-20', now(), 1)")  # fmt: skip
    assert find_returned(engine, Redactor(b"first", b"second")) == [("nitrogen", "7")]


def test_after_a_rotation_the_state_of_salesforce_is_found_by_its_first_keys(firm: Firm, store: Store) -> None:
    old, new, shared = "a" * 64, "b" * 64 + "~2", "c" * 64 + "~2"
    person_id = firm.database.value("select person_id from warehouse.person where email = :email limit 1", email=EMAIL)
    firm.database.do("insert into control.first_hash values (:old, :new), (:other, :shared)", old=old, new=new, other="d" * 64, shared=shared)  # fmt: skip
    firm.database.do("update warehouse.source_key set source_key = :key where id = :id", key=f"{new}:{shared}", id=person_id)  # fmt: skip
    firm.database.do("insert into warehouse.source_key (entity, vendor, source_key) values ('person', 'nitrogen', :key)", key=shared)  # fmt: skip
    key = f"test:nitrogen:person:{old}:{'d' * 64}"
    firm.database.do("insert into control.crm_state (sobject, external_key, payload, salesforce_id, job_id) values ('Account', :key, '{}', '001B', 'j')", key=key)  # fmt: skip
    result = forget.forget(store, str(person_id), "Pat", is_dry=False)
    assert ("Account", key, "001B") in result.salesforce
    assert firm.database.value("select count(*) from control.crm_state where external_key = :key", key=key) == 0
    assert firm.database.value("select string_agg(current_hash, ' ') from control.first_hash") == shared


@pytest.mark.parametrize(
    "spelling",
    [
        r"O\u0027Forget-M\u00E9",
        r"O'FORGET-M\u00c9",
        "O\\u0026#39;Forget-M\\u0026eacute;",
        r"Z\/canary\u0040forget.example",
    ],
)
def test_a_person_is_found_in_whatever_escapes_a_vendor_writes(firm: Firm, store: Store, spelling: str) -> None:
    """JSON and HTML may escape any character; products that write JSON escape the apostrophe, the slash, and all but ASCII."""
    body = KEYRING.receiving_key.seal(f'{{"signer": "Canaria {spelling}"}}'.encode(), inbox.place_of("docusign", "h1"))
    firm.database.do("update control.inbox set body = :body", body=body)
    firm.site.staging.folder(difference.PLACE).write("salesforce-t.html", b"<td>CANARIA O&#39;FORGET-M&Eacute;</td>")
    result = forget_canary(store, firm.database)
    assert result.rows["control.inbox"] == 1
    assert {page.rpartition("/")[2] for page in result.pages} >= {"salesforce-r.html", "salesforce-t.html"}


def test_a_nickname_in_quotes_is_found_in_texts_and_in_json(database: Database) -> None:
    details = json.dumps({"name": 'Canária "Cany" Sample'})
    for action, subject, content in [("a", 'CANÁRIA "CANY" SAMPLE', "{}"), ("b", "x", details), ("c", "x", "{}")]:
        database.do(
            "insert into control.audit (happened_at, database_user, actor, action, subject, details)"
            " values (now(), 'x', 'x', :action, :subject, cast(:details as jsonb))",
            action=action, subject=subject, details=content,
        )  # fmt: skip
    owner = schema.engine(database.url("tributary_migrate"))
    with owner.connect() as connection:
        assert traces.search_tables(connection, KEYRING, ['canária "cany" sample'])["control.audit"] == 2
    owner.dispose()


def test_a_pending_message_stays_and_is_reported(firm: Firm, store: Store) -> None:
    firm.database.do("update control.inbox set processed_at = null")
    assert forget_canary(store, firm.database).remaining == {"control.inbox": 1}


def test_the_tables_are_vacuumed_so_that_no_index_leads_to_the_rows(firm: Firm, store: Store) -> None:
    forget_canary(store, firm.database)
    dead = "select last_vacuum is not null and n_dead_tup = 0 from pg_stat_all_tables where relid = 'warehouse.person'::regclass"
    assert firm.database.value(dead.replace("::", "\\:\\:")) is True


def test_a_killed_command_can_be_run_again(firm: Firm, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(forget, "_write_receipt", die)
        with pytest.raises(KeyboardInterrupt):
            forget_canary(store, firm.database)
    assert firm.database.value("select count(*) from control.audit where action = 'person.forgotten'") == 0
    forget_canary(store, firm.database)
    assert find_canaries(firm) == set()


def test_books_and_records_of_a_client_stay_and_the_copies_go(firm: Firm, store: Store) -> None:
    firm.database.do(
        "insert into warehouse.account_owner (account_owner_id, vendor, account_owner_key, account_id, person_id, valid_from, recorded_from, source_run_id)"
        " select 77, 'nitrogen', 'o', 5, person_id, '2026-11-20', now(), 1 from warehouse.person where email = :email limit 1", email=EMAIL
    )  # fmt: skip
    result = forget_canary(store, firm.database)
    assert "17a-4" in next(iter(result.kept.values()))
    assert set(result.rows) == {
        "control.inbox",
        "control.answer",
        "control.known_answer",
        "control.dead_letter",
        "control.request (keys replaced)",
    }
    assert result.salesforce == []
    assert result.partitions
    left = find_canaries(firm)
    assert "warehouse.person" in left
    assert "control.inbox" not in left
    assert not [place for place in left if place.endswith((".parquet", ".html"))]
    assert result.remaining["warehouse.person"] > 0


def test_a_partition_with_another_open_dead_letter_stays_and_is_listed(firm: Firm, store: Store) -> None:
    [needed, *_] = forget_canary(store, firm.database, is_dry=True).partitions
    insert_open_dead_letter(firm.database, "nitrogen", "clients", needed)
    result = forget_canary(store, firm.database)
    assert needed in result.kept
    assert result.remaining == {"staging": 1}
    assert firm.site.staging.open(needed)


def test_a_name_that_a_steward_typed_stays_in_the_trail_and_is_reported(firm: Firm, store: Store) -> None:
    firm.database.do(
        "insert into control.identity_decision (entity, left_id, right_id, is_same, reason, decided_by)"
        " values ('person', 888888, 999999, false, :name, 'Pat')", name=NAME
    )  # fmt: skip
    result = forget_canary(store, firm.database)
    assert result.remaining == {"control.audit": 1, "control.identity_decision": 1}


def insert_envelope(database: Database, held: str | None) -> None:
    database.do(
        "insert into warehouse.envelope_recipient (vendor, envelope_recipient_key, envelope_key, email, is_final, recorded_from, source_run_id)"
        " values ('docusign', 'r1', 'e1', :email, true, now(), 1)", email=EMAIL.upper()
    )  # fmt: skip
    database.do(
        "insert into control.document (vendor, envelope_key, kind, content_hash, bytes, retain_until, held_for)"
        " values ('docusign', 'e1', 'signed', repeat('a', 64), 1, '2033-05-01', :held)", held=held
    )  # fmt: skip


def test_a_signed_agreement_is_kept_with_its_date(firm: Firm, store: Store) -> None:
    insert_envelope(firm.database, None)
    result = forget_canary(store, firm.database)
    assert "2033-05-01" in result.kept["1 envelopes, with recipients, events and documents"]
    assert result.remaining == {"warehouse.envelope_recipient": 1}


def test_a_retention_hold_stops_the_command_before_anything_changes(firm: Firm, store: Store) -> None:
    insert_envelope(firm.database, "a dispute")
    before = find_canaries(firm)
    with pytest.raises(ConfigurationError, match="a dispute"):
        forget_canary(store, firm.database)
    assert find_canaries(firm) == before
    assert "a dispute" in forget_canary(store, firm.database, is_dry=True).kept["everything"]


@pytest.mark.parametrize("reference", ["99999999", "nitrogen:none", "orion:1", "no such person", ""])
def test_an_unknown_person_is_refused(database: Database, reference: str) -> None:
    owner = schema.engine(database.url("tributary_migrate"))
    with owner.connect() as connection, pytest.raises(InputRejected, match="No such person"):
        person.find(connection, reference)
    owner.dispose()


def test_linked_records_of_all_vendors_are_one_person(database: Database, engine: sa.Engine) -> None:
    for vendor in ("emoney", "nitrogen", "orion"):
        database.do("insert into warehouse.source_key (entity, vendor, source_key) values ('person', :vendor, 'k')", vendor=vendor)  # fmt: skip
    ids = [row["id"] for row in database.rows("select id from warehouse.source_key order by id")]
    for each, vendor in zip(ids, ("emoney", "nitrogen", "orion"), strict=True):
        database.do("insert into warehouse.person (person_id, vendor, person_key, name, valid_from, recorded_from, source_run_id) values (:id, :vendor, 'k', 'Invented Name', '2026-01-01', now(), 1)", id=each, vendor=vendor)  # fmt: skip
    database.do("insert into warehouse.identity (entity, id, identity_id, recorded_from, source_run_id) values ('person', :a, :b, now(), 'r')", a=ids[0], b=ids[1])  # fmt: skip
    with engine.connect() as connection:
        for reference in ("emoney:k", "nitrogen:k", str(ids[0])):
            assert person.find(connection, reference).ids["person"] == ids[:2]
        assert person.find(connection, "orion:k").terms == []  # another person has the same name


def test_the_command_lists_by_default_and_forgets_with_yes(
    firm: Firm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRIBUTARY_MIGRATE_URL", firm.database.url("tributary_migrate"))
    monkeypatch.setenv("TRIBUTARY_KEYS", write_keyring())
    monkeypatch.setenv("TRIBUTARY_STAGING_ROOT", str(firm.folder / "staging"))
    command = ["forget", "--person", f"nitrogen:{find_key(firm.database)}", "--by", "Pat"]
    assert cli.main(command) == 0
    assert "Dry run, nothing was changed" in (listed := capsys.readouterr().out)
    assert "for its administrator to delete: Contact 003A" in listed
    assert cli.main([*command, "--yes"]) == 0
    assert "Receipt: entry" in (printed := capsys.readouterr().out)
    assert not [word for word in CANARIES if word in (listed + printed).lower()]
    assert cli.main([*command, "--yes"]) == 1
    assert "No such person" in capsys.readouterr().err


def test_no_task_can_forget(firm: Firm, store: Store) -> None:
    loading = Store(firm.engine, store.staging, store.keyring)
    reference = f"nitrogen:{find_key(firm.database)}"
    with pytest.raises((psycopg.errors.InsufficientPrivilege, sa.exc.ProgrammingError)):
        forget.forget(loading, reference, "Pat", is_dry=False)
