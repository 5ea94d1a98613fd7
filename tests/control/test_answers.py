"""Stored responses of a fan-out: kept once per run, in the order of the request keys, until they are deleted."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from include.control import answers as module
from include.control.answers import Answers
from include.errors import FatalError
from include.keys.sealer import Sealer
from tests.conftest import Database
from tests.firm_keys import KEYRING

OLD = {key.key_id: key.secret for key in KEYRING.keys if key.purpose == "staging"}
NEW = {"next": b"n" * 32}
KEYS_AFTER_ROTATION = {"with the old key": OLD | NEW, "without": NEW}


@pytest.fixture
def answers(engine: sa.Engine) -> Answers:
    return Answers(engine, "a run", "sample", "accounts", KEYRING.staging)


def rows_of(answers: Answers) -> list[object]:
    return [row for piece in answers.pieces(answers.list_known()) for row in json.loads(piece)]


def test_empty_request_returns_no_responses(answers: Answers) -> None:
    assert answers.list_known() == set()
    assert list(answers.pieces(answers.list_known())) == []


def test_rows_are_returned_in_request_order(answers: Answers) -> None:
    for name in ("b", "a", "B", "é", "a/b"):
        answers.keep(name, json.dumps([{"of": name}, {"of": name}]).encode())
    # By code point, whatever the database's language is.
    assert rows_of(answers) == [{"of": name} for name in ("B", "a", "a/b", "b", "é") for _ in range(2)]
    assert answers.list_known() == {"b", "a", "B", "é", "a/b"}


def test_response_without_a_row_is_a_response(answers: Answers) -> None:
    for name, rows in {"a": b"[]", "b": b'[{"n":1}]', "c": b"[]", "d": b'\n[{"n":2}]\n'}.items():
        answers.keep(name, rows)
    assert rows_of(answers) == [{"n": 1}, {"n": 2}]
    assert len(answers.list_known()) == 4


def test_first_response_stays(answers: Answers) -> None:
    answers.keep("a", b"[1]")
    answers.keep("a", b"[2]")
    assert rows_of(answers) == [1]


def test_bytes_come_back_as_they_were(answers: Answers) -> None:
    body = '[{"worth":90071992547409.930,"name":"é\\u0000 \\ud83d\\ude00"}]'.encode()
    answers.keep("a", body)
    assert list(answers.pieces(answers.list_known())) == [body]


def test_pieces_hold_some_responses_each_and_all_of_them_together(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PIECE", 7)
    for n in range(20):
        answers.keep(f"{n:02}", f"[{n}]".encode())
    assert [len(json.loads(piece)) for piece in answers.pieces(answers.list_known())] == [7, 7, 6]
    assert rows_of(answers) == list(range(20))


@pytest.mark.parametrize("change", [{"run_id": "another"}, {"vendor": "another"}, {"table_name": "another"}])
def test_every_run_vendor_and_table_has_its_own(answers: Answers, change: dict[str, str]) -> None:
    another = replace(answers, **change)
    answers.keep("a", b"[1]")
    another.keep("a", b"[2]")
    assert (rows_of(answers), rows_of(another)) == ([1], [2])
    answers.forget()
    assert (answers.list_known(), another.list_known()) == (set(), {"a"})
    answers.keep("a", b"[3]")
    assert rows_of(answers) == [3]


def test_threads_that_keep_at_once_lose_nothing(answers: Answers) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: answers.keep(f"{n % 50:02}", f"[{n % 50}]".encode()), range(100)))
    assert rows_of(answers) == list(range(50))


def test_response_is_visible_to_another_process_as_soon_as_it_is_kept(answers: Answers, database: Database) -> None:
    answers.keep("a", b"[1]")
    assert database.value("select count(*) from control.answer where run_id = 'a run'") == 1


def test_response_that_was_moved_to_another_request_is_refused(answers: Answers, database: Database) -> None:
    answers.keep("a", b"[1]")
    answers.keep("b", b"[2]")
    database.do("update control.answer set rows = (select rows from control.answer where request_key = 'b')")
    with pytest.raises(FatalError, match="altered or moved"):
        rows_of(answers)


def test_cached_response_under_another_etag_is_refused(answers: Answers, database: Database) -> None:
    answers.keep("a", b"[1]", "old")
    database.do("update control.known_answer set etag = 'new'")
    with pytest.raises(FatalError, match="altered or moved"):
        replace(answers, run_id="a later run").keep_known("a", "new")


def test_response_whose_key_was_removed_is_requested_again(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REST_S", -1.0)
    answers.keep("a", b"[1]", etag="one")
    later = {name: replace(answers, sealer=Sealer(keys)) for name, keys in KEYS_AFTER_ROTATION.items()}
    later["with the old key"].keep("b", b"[2]", etag="two")

    assert later["with the old key"].take_etags(["a", "b"]) == {"a": "one", "b": "two"}
    assert later["without"].take_etags(["a", "b"]) == {"b": "two"}
    assert later["without"].keep_known("b", "two")
