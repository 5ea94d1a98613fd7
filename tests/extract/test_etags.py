"""Conditional requests: a response with an ETag is requested with `If-None-Match`, except where that is unsafe."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest
import sqlalchemy as sa

from include.contract import STRING, FanOut, Linked, Table, column
from include.control.answers import Answers
from include.errors import ConfigurationError
from tests.conftest import Database
from tests.extract.fan_out_firm import ACCOUNTS, Serve, account, client_of, clients
from tests.extract.vendor_server import Puller, RecordedCall, Reply

CONDITIONAL = replace(ACCOUNTS, shape=FanOut("clients", is_conditional=True))


class Changing:
    """A vendor whose responses have ETags; while `is_tired`, it replies 304 to each condition, changed or not."""

    def __init__(self) -> None:
        self.worth = {"a": 1, "b": 1}
        self.sent: list[str] = []
        self.unchanged: list[str] = []
        self.failures = 0
        self.is_tired = False

    def __call__(self, call: RecordedCall) -> Reply:
        client = client_of(call.path)
        etag = f'W/"{self.worth[client]}"'
        if self.failures:
            self.failures -= 1
            return Reply(status=503)
        condition = call.headers.get("If-None-Match")
        if condition and (self.is_tired or condition == etag):
            self.unchanged.append(client)
            return Reply(status=304, content=b"")
        self.sent.append(client)
        return Reply([account(client, self.worth[client])], headers={"ETag": etag})


def worths(puller: Puller, run_id: str, table: Table = CONDITIONAL, *, is_routine: bool = True) -> dict[str, int]:
    run = replace(puller, run_id=f"{puller.run_id} {run_id}", is_routine=is_routine)
    return {row["account_id"]: int(row["worth_usd"]) for row in run.rows(table, keys=clients("a", "b"))}


@pytest.fixture
def changing(serve: Serve, shared_database: Database) -> tuple[Puller, Changing]:
    shared_database.do("delete from control.known_answer")
    vendor = Changing()
    puller, _ = serve(vendor)
    assert worths(puller, "before") == {"a": 1, "b": 1}
    vendor.sent.clear()
    let_an_hour_pass(shared_database)
    return puller, vendor


def let_an_hour_pass(database: Database) -> None:
    """Age all stored requests by an hour, so that none counts as recent."""
    database.do("update control.known_answer set requested_at = requested_at - interval '1 hour'")


def test_what_has_not_changed_is_not_sent_again(changing: tuple[Puller, Changing], shared_database: Database) -> None:
    puller, vendor = changing
    vendor.worth["b"] = 2
    assert worths(puller, "second") == {"a": 1, "b": 2}
    assert (vendor.sent, vendor.unchanged) == (["b"], ["a"])
    vendor.unchanged.clear()
    let_an_hour_pass(shared_database)
    assert worths(puller, "third") == {"a": 1, "b": 2}
    assert (vendor.sent, sorted(vendor.unchanged)) == (["b"], ["a", "b"])


def test_recent_response_is_requested_without_a_condition(changing: tuple[Puller, Changing]) -> None:
    """A vendor under load may reply 304 although the data has changed."""
    puller, vendor = changing
    worths(puller, "second")
    vendor.unchanged.clear()
    vendor.is_tired = True
    vendor.worth["a"] = 2
    assert worths(puller, "third") == {"a": 2, "b": 1}
    assert vendor.unchanged == []


def test_a_try_after_a_failed_one_has_no_condition(changing: tuple[Puller, Changing]) -> None:
    puller, vendor = changing
    vendor.failures, vendor.is_tired = 1, True
    vendor.worth |= {"a": 2, "b": 2}
    result = worths(replace(puller, patience_s=5.0), "second")
    assert sorted(result.values()) == [1, 2]  # one of the two first tries failed; the other got a 304


def test_a_run_that_resumes_where_it_stopped_has_no_condition(changing: tuple[Puller, Changing]) -> None:
    puller, vendor = changing
    stopped = replace(puller, run_id=f"{puller.run_id} stopped")
    stopped.answers(CONDITIONAL).keep("a", b"[]")
    vendor.is_tired = True
    vendor.worth["b"] = 2
    assert worths(puller, "stopped") == {"b": 2}


def test_special_pull_requests_without_a_condition_and_stores_etags(
    changing: tuple[Puller, Changing], shared_database: Database
) -> None:
    puller, vendor = changing
    vendor.worth["a"] = 2
    assert worths(puller, "news", is_routine=False) == {"a": 2, "b": 1}
    assert (sorted(vendor.sent), vendor.unchanged) == (["a", "b"], [])
    let_an_hour_pass(shared_database)
    assert worths(puller, "routine") == {"a": 2, "b": 1}
    assert sorted(vendor.unchanged) == ["a", "b"]


def test_response_of_another_declaration_is_requested_again(changing: tuple[Puller, Changing]) -> None:
    puller, vendor = changing
    wider = replace(CONDITIONAL, columns=(*CONDITIONAL.columns, column("kind", "kind", STRING)))
    assert worths(puller, "wider", wider) == {"a": 1, "b": 1}
    assert (sorted(vendor.sent), vendor.unchanged) == (["a", "b"], [])


def test_unchanged_response_that_is_not_stored_is_requested_again(
    changing: tuple[Puller, Changing], monkeypatch: pytest.MonkeyPatch
) -> None:
    puller, vendor = changing
    take = Answers.take_etags

    def request_and_forget(self: Answers, keys: Collection[str]) -> dict[str, str]:
        etags = take(self, keys)
        with self.engine.begin() as connection:
            connection.execute(sa.text("delete from control.known_answer"))
        return etags

    monkeypatch.setattr(Answers, "take_etags", request_and_forget)
    assert worths(puller, "second") == {"a": 1, "b": 1}
    assert (sorted(vendor.sent), sorted(vendor.unchanged)) == (["a", "b"], ["a", "b"])


def test_304_without_a_condition_is_an_error(serve: Serve) -> None:
    puller, _ = serve(lambda call: Reply(status=304, content=b""))
    with pytest.raises(ConfigurationError, match="304"):
        worths(puller, "first", is_routine=False)


def test_a_response_of_several_pages_has_no_etag() -> None:
    with pytest.raises(ValueError, match="pages"):
        FanOut("clients", pages=Linked("next", "size"), is_conditional=True)
