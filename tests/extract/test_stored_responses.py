"""The stored responses of a fan-out: a retry requests only the missing ones, and no sensitive value is stored in clear."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from include.contract import STRING, column
from include.errors import AuthenticationError, VendorUnavailable
from include.warehouse import schema
from tests.conftest import Database
from tests.extract.fan_out_firm import (
    ACCOUNTS,
    NUMBER,
    VENDOR,
    Serve,
    account,
    accounts,
    client_of,
    clients,
    read_stored_responses,
)
from tests.extract.vendor_server import NOW, REDACTOR, Puller, RecordedCall, Reply, listen
from tests.forked import submit


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text("ab/%: ", min_size=1), st.integers(-2, 2)), max_size=5, unique=True))
def test_different_keys_are_kept_under_different_names(
    engine: sa.Engine, tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, int]]
) -> None:
    table = replace(ACCOUNTS, path="clients/{client_id}/{kind}")
    folder = tmp_path_factory.mktemp("staging")
    with listen(lambda call: Reply([])) as listener:
        puller = Puller(engine, VENDOR, listener.url, folder, folder.name)
        puller.rows(table, keys=[{"client_id": client, "kind": str(kind)} for client, kind in pairs])
        assert len(listener.calls) == len(pairs)
    assert len(puller.answers(table).list_known()) == len(pairs)


def test_error_keeps_responses_and_the_retry_requests_the_rest(serve: Serve, shared_database: Database) -> None:
    is_well = False

    def answer(call: RecordedCall) -> Reply:
        return accounts(call) if is_well or client_of(call.path) != "d" else Reply({}, status=500)

    puller, listener = serve(answer)
    with pytest.raises(VendorUnavailable, match="status=500"):
        puller.pull(ACCOUNTS, keys=clients(*"abcdefgh"))
    answered = set(read_stored_responses(shared_database, puller.run_id))
    assert answered >= set("abc")
    assert "d" not in answered
    assert not list(puller.folder.rglob("manifest.json"))
    asked_before, is_well = len(listener.calls), True
    rows = puller.rows(ACCOUNTS, keys=clients(*"abcdefgh"))
    assert {client_of(path) for path in listener.paths[asked_before:]} == set("abcdefgh") - answered
    assert [row["account_id"] for row in rows] == [f"{id_}-{n}" for id_ in "abcdefgh" for n in range(2)]


def test_permanent_error_stops_waiting_calls(serve: Serve) -> None:
    puller, listener = serve(lambda call: Reply({}, status=403), patience_s=20)
    with pytest.raises(AuthenticationError):
        puller.rows(ACCOUNTS, keys=clients(*(str(n) for n in range(200))))
    assert len(listener.calls) < 50
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fan-out")]


def pull_accounts(url: str, database_url: str, folder: str, run_id: str) -> None:
    """Pull the accounts of twenty clients, in a process of its own."""
    engine = schema.engine(database_url)
    Puller(engine, VENDOR, url, Path(folder), run_id).pull(ACCOUNTS, keys=clients(*TWENTY))


TWENTY = [f"c{n:02}" for n in range(20)]


def test_killed_fan_out_requests_only_missing_keys(serve: Serve, shared_database: Database, tmp_path: Path) -> None:
    times, is_held, release = Counter[str](), threading.Event(), threading.Event()

    def answer(call: RecordedCall) -> Reply:
        times[client_of(call.path)] += 1
        if client_of(call.path) >= "c07" and not release.is_set():
            is_held.set()
            release.wait(30)
        return accounts(call)

    puller, listener = serve(answer)
    process = submit(pull_accounts, listener.url, shared_database.url(), str(tmp_path), puller.run_id)
    assert is_held.wait(60)
    until = time.monotonic() + 30
    while len(read_stored_responses(shared_database, puller.run_id)) < 7 and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    process.join(10)
    release.set()
    answered = set(read_stored_responses(shared_database, puller.run_id))
    assert answered == set(TWENTY[:7])
    assert not list(tmp_path.rglob("manifest.json"))

    asked_before = len(listener.calls)
    manifest = puller.pull(ACCOUNTS, keys=clients(*TWENTY)).manifest
    assert sorted(client_of(path) for path in listener.paths[asked_before:]) == TWENTY[7:]
    assert [times[client] for client in TWENTY[:7]] == [1] * 7
    assert (manifest.fetched, manifest.staged, manifest.duplicate) == (40, 40, 0)


def test_rows_have_their_request_time_not_their_staging_time(serve: Serve) -> None:
    puller, _ = serve(accounts)
    puller.rows(ACCOUNTS, keys=clients("a"))
    later = NOW + timedelta(hours=5)
    rows = replace(puller, now=later).rows(ACCOUNTS, keys=clients("a", "b"))
    assert {(row["client_id"], row["requested_at"]) for row in rows} == {("a", NOW), ("b", later)}


def test_response_of_an_earlier_try_has_every_declared_field(serve: Serve) -> None:
    puller, listener = serve(lambda call: Reply([account("x", 1) | {"owner": "Ada"}]))
    puller.rows(ACCOUNTS, keys=clients("a"))
    wider = replace(ACCOUNTS, columns=(*ACCOUNTS.columns, column("owner_name", "owner", STRING)))
    assert [row["owner_name"] for row in puller.rows(wider, keys=clients("a"))] == ["Ada"]
    assert len(listener.calls) == 2


def test_parent_row_that_was_removed_since_an_earlier_try_has_no_rows(serve: Serve) -> None:
    puller, listener = serve(accounts)
    puller.rows(ACCOUNTS, keys=clients("a", "b"))
    assert {row["client_id"] for row in puller.rows(ACCOUNTS, keys=clients("a"))} == {"a"}
    assert len(listener.calls) == 2


def test_another_run_requests_again(serve: Serve) -> None:
    puller, listener = serve(accounts)
    puller.rows(ACCOUNTS, keys=clients("a", "b"))
    replace(puller, run_id=f"{puller.run_id} again").rows(ACCOUNTS, keys=clients("a", "b"))
    assert len(listener.calls) == 4


# --- no sensitive value is stored in clear ---


@pytest.mark.parametrize(
    "row",
    [
        account("x", 1),
        {"id": "x", "accountNumber": {"full": NUMBER}},
        {"id": "x", "accountNumber": [NUMBER]},
        account("x", 1) | {"name": f"IRA {NUMBER}"},
        {"id": "x", "ssn": NUMBER},
        {"id": "x", "note": NUMBER},
        {"id": "x", "note": {"deep": [{"number": NUMBER}]}},
        {"id": "x", "owner": {"accountNumber": NUMBER}},
    ],
    ids=[
        "text",
        "object",
        "list",
        "in a text of its row",
        "undeclared",
        "ignored",
        "in what is ignored",
        "in an undeclared object",
    ],
)
def test_answers_table_contains_no_clear_value(serve: Serve, shared_database: Database, row: dict[str, Any]) -> None:
    puller, _ = serve(lambda call: Reply([row]))
    puller.rows(ACCOUNTS, keys=clients("a"))
    [rows] = read_stored_responses(shared_database, puller.run_id).values()
    assert NUMBER.encode() not in rows


def test_hidden_value_is_staged_as_if_it_had_never_been_text(serve: Serve) -> None:
    puller, _ = serve(accounts)
    row, *_ = puller.rows(ACCOUNTS, keys=clients("a"))
    assert (row["account_number_hash"], row["account_number_last4"]) == REDACTOR.split(NUMBER)


def test_undeclared_field_is_reported_without_its_value(serve: Serve) -> None:
    puller, _ = serve(lambda call: Reply([account("x", 1) | {"brandNew": "value"}]))
    assert puller.pull(ACCOUNTS, keys=clients("a")).manifest.undeclared == ("brandNew",)
