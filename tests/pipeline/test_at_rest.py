"""Messages and cached responses are nowhere in clear text: not in the database's files, and not in its write-ahead log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from include import cli
from include.control import inbox
from include.control.answers import Answers
from include.control.inbox import Delivery
from include.crm.changes import store
from include.crm.changes.decoding import Unreadable
from include.errors import ConfigurationError, RowsFailed
from include.gateway.api import request_queue
from include.gateway.api.request_queue import Attempt
from local.postgres import Postgres
from tests.conftest import Database, create_database
from tests.firm_keys import KEYRING, open_body, register_inbox_key, write_keyring
from tests.gateway.conftest import SIGNED, run_gateway, sign
from tests.pipeline.test_inbox import LIFE, Inbox, body
from tests.pipeline.test_pushes import CLIENTS, Pushes

NUMBER, NAME = "078-05-1120", "Zebulon Canarywood"
LOADED = "ann@client.example"
"""A value that the drain loads into the warehouse, which is not encrypted: so the search finds what is in clear text."""
KEY = KEYRING.receiving_key


def read_files(server: Postgres) -> Iterator[tuple[Path, bytes]]:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute("checkpoint")
    for path in (server.data_dir / "cluster").resolve().rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()


@pytest.mark.parametrize("extra", [{}, {"padding": "x" * 20_000}], ids=["short", "in TOAST"])
def test_no_file_of_the_database_has_a_message_or_a_response_in_clear_text(
    own_server: Postgres, tmp_path: Path, extra: dict[str, str]
) -> None:
    message = body("e1", LIFE) | {"note": f"{NAME}, {NUMBER}"} | extra
    rows = [CLIENTS[0] | {"ssN_TaxID": NUMBER}]
    database = create_database(own_server, "tributary")
    box, pushes = Inbox(database, tmp_path / "box"), Pushes(database, tmp_path / "pushes")
    pushes.runs = 100
    with run_gateway(database) as gateway:
        content = orjson.dumps(message)
        assert gateway.post(SIGNED, content, {"X-DocuSign-Signature-1": sign(content)}).status_code == 200
    attempt = Attempt.of("caller", "attempt-1", "orion/clients", orjson.dumps(rows))
    request_queue.push(box.engine, attempt, "orion", "clients", orjson.dumps(rows), KEY)
    unread = [Unreadable("an event", "a schema", NAME.encode(), "can't be decoded")]
    store.store_changes(box.engine, "a topic", [], unread=unread, key=KEY)
    answers = Answers(box.engine, "a run", "sample", "accounts", KEYRING.staging)
    answers.keep("a", json.dumps([{"name": NAME} | extra]).encode(), "an etag")

    assert (box.drain(), pushes.drain()) == (1, 1)
    answers.forget()

    files = list(read_files(own_server))
    leaks = [path.name for path, content in files if NUMBER.encode() in content or NAME.encode() in content]
    assert leaks == []
    assert {path.parent.name for path, content in files if LOADED.encode() in content} >= {"pg_wal"}
    assert sorted(box.errors(), key=str) == [None, None, "can't be decoded"]
    database.close()
    box.engine.dispose()
    pushes.engine.dispose()


@pytest.mark.parametrize(
    "statement",
    [
        "insert into control.inbox (sender, body, content_hash, headers) values ('docusign', '{}', 'h', '{}')",
        "insert into control.inbox (sender, body, content_hash, headers) values ('docusign', 'TRB2' || :zeros, 'h', '{}')",
        "insert into control.answer (run_id, vendor, table_name, request_key, rows) values ('r', 'v', 't', 'k', '[]')",
        "insert into control.known_answer (vendor, table_name, request_key, contract, etag, rows) values ('v', 't', 'k', 'c', 'e', '[]')",
    ],
    ids=["body", "body under another key", "response", "cached response"],
)
def test_the_database_refuses_what_is_not_sealed(box: Inbox, statement: str) -> None:
    with pytest.raises(Exception, match=r"not sealed|is_sealed"):
        box.database.do(statement, **({"zeros": bytes(80)} if ":zeros" in statement else {}))


def test_delivery_for_a_key_that_tasks_do_not_have_is_not_acknowledged(database: Database) -> None:
    with run_gateway(database) as gateway:
        assert gateway.send().status_code == 503
        register_inbox_key(database)
        assert gateway.send().status_code == 200


def test_push_for_a_key_that_tasks_do_not_have_is_refused(box: Inbox) -> None:
    other = type(KEYRING).parse(write_keyring("another")).receiving_key
    with pytest.raises(ConfigurationError, match="not registered"):
        request_queue.push(box.engine, Attempt.of("caller", "attempt-1", "p", b"[]"), "orion", "clients", b"[]", other)


def test_altered_body_blocks_no_other(box: Inbox) -> None:
    box.put(body("e1", LIFE), body("e2", LIFE))
    box.database.do("update control.inbox set body = set_byte(body, 90, 255 - get_byte(body, 90)) where inbox_id = 1")

    with pytest.raises(RowsFailed, match="1 of 2"):
        box.drain()

    assert box.statuses() == {"e2": "completed"}
    assert "altered or moved" in str(box.errors()[0])


def test_body_of_another_row_is_not_loaded(box: Inbox) -> None:
    box.put(body("e1", LIFE), body("e2", LIFE))
    box.database.do(
        "update control.inbox set body = (select body from control.inbox where inbox_id = 1) where inbox_id = 2"
    )

    with pytest.raises(RowsFailed, match="1 of 2"):
        box.drain()

    assert box.statuses() == {"e1": "completed"}


def test_message_is_shown_to_an_operator_and_audited(
    box: Inbox, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    box.put({"note": NAME})
    monkeypatch.setenv("TRIBUTARY_KEYS", write_keyring())
    monkeypatch.setenv("TRIBUTARY_LOAD_URL", box.database.url())
    monkeypatch.setenv("LOGNAME", "pat")

    assert [cli.main(["show-message", each]) for each in ("1", "2", "x")] == [0, 1, 1]

    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"note": NAME}
    assert "no message of this id" in shown.err
    entries = box.database.rows(
        "select actor, subject from control.audit where action = 'message.opened' order by entry_id"
    )
    assert [tuple(each.values()) for each in entries] == [("pat", "inbox_id=1"), ("pat", "inbox_id=2")]


# --- bodies that an earlier version stored ---


def put_clear(box: Inbox, content: dict[str, Any], content_hash: str) -> None:
    """Store a delivery as an earlier version did."""
    box.database.do("alter table control.inbox disable trigger sealed")
    box.database.do(
        "insert into control.inbox (sender, body, content_hash, headers) values ('docusign', :body, :hash, '{}')",
        body=orjson.dumps(content), hash=content_hash,
    )  # fmt: skip
    box.database.do("alter table control.inbox enable trigger sealed")


def test_clear_bodies_are_sealed_and_then_drained(box: Inbox) -> None:
    put_clear(box, body("e1", LIFE), "a")
    put_clear(box, body("e2", LIFE), "b")

    assert [inbox.seal_clear(box.engine, KEY) for _ in range(2)] == [2, 0]

    assert box.database.value("select count(*) from control.inbox where key_fingerprint is null") == 0
    assert box.drain() == 2
    assert box.statuses() == {"e1": "completed", "e2": "completed"}


def test_pending_clear_bodies_are_sealed_first_and_the_rest_within_the_time(box: Inbox) -> None:
    for n in range(120):
        put_clear(box, {"n": n}, f"old {n}")
    box.database.do("update control.inbox set processed_at = now() where inbox_id <= 110")

    assert inbox.seal_clear(box.engine, KEY, budget_s=0.0) == 100

    clear = "select count(*) filter (where processed_at is null) from control.inbox where key_fingerprint is null"
    assert box.database.value(clear) == 0
    assert [inbox.seal_clear(box.engine, KEY, budget_s=0.0) for _ in range(2)] == [20, 0]


def test_copy_of_a_body_that_was_stored_in_clear_text_is_still_a_copy(box: Inbox) -> None:
    put_clear(box, body("e1", LIFE), "a")
    inbox.seal_clear(box.engine, KEY)
    assert inbox.receive(box.engine, Delivery("docusign", orjson.dumps(body("e1", LIFE)), "a", None, {}), KEY) is False


def test_clear_body_that_was_received_again_before_it_was_sealed_is_sealed_too(box: Inbox) -> None:
    put_clear(box, body("e1", LIFE), "a")
    inbox.receive(box.engine, Delivery("docusign", orjson.dumps(body("e1", LIFE)), "a", None, {}), KEY)
    inbox.seal_clear(box.engine, KEY)
    first, second = map(open_body, box.database.rows("select * from control.inbox"))
    assert first == second


@pytest.fixture
def box(database: Database, tmp_path: Path) -> Iterator[Inbox]:
    box = Inbox(database, tmp_path)
    yield box
    box.engine.dispose()
