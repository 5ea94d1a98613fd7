"""The queue of callers' requests. The API adds a request and sends a notification; the DAG `serve_requests` starts the run.

A request never starts more than one run, even after a crash. The run's id in Airflow derives from the request, and Airflow rejects a
second run with the same id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import orjson
import sqlalchemy as sa

from include.control import inbox
from include.gateway.problem import Refusal
from include.keys.inbox import ReceivingKey

CHANNEL = "tributary_requests"
MOST_TRIES = 5

_SUBMIT = sa.text("select * from control.submit_request(:caller, :key, :hash, :what, :vendor, cast(:params as jsonb))")
_PUSH = sa.text("select * from control.push(:caller, :key, :hash, :push_id, :vendor, :table, :body)")
_WITHDRAW = sa.text("select * from control.withdraw_push(:caller, :key, :hash, :push)")
_RECALL = sa.text("""
select request_hash = :hash as is_same, answer from control.idempotency
where caller = :caller and idempotency_key = :key and answered_at >= clock_timestamp() - interval '24 hours'
""")
# A check of a started run every two minutes is enough to detect its end.
IS_WAITING = """
select exists (select from control.request
               where state = 'waiting'
                  or state = 'started' and checked_at < clock_timestamp() - interval '2 minutes')
"""
"""Query: whether a request waits to be started, or the state of a started run is due for a check."""
_TAKE = sa.text("""
update control.request set tries = tries + 1
where request_id in (select request_id from control.request where state = 'waiting' order by number limit :most for update skip locked)
returning number, request_id, run_id, what, vendor, params
""")
_OPEN = sa.text("""
select number, request_id, run_id, what, vendor, params from control.request where state in ('waiting', 'started') order by number
""")
# A finished request is not changed.
_SETTLE = sa.text("""
update control.request
set state = :state, detail = :detail, checked_at = clock_timestamp(),
    ended_at = case when :state in ('succeeded', 'failed') then clock_timestamp() end
where request_id = :request_id and state in ('waiting', 'started')
""")
_GIVE_UP = sa.text("""
update control.request
set state = 'failed', detail = 'The run could not be started', checked_at = clock_timestamp(), ended_at = clock_timestamp()
where request_id = :request_id and state = 'waiting' and tries >= :most
""")
_FORGET = sa.text("delete from control.idempotency where answered_at < clock_timestamp() - interval '25 hours'")


@dataclass(frozen=True, slots=True)
class Attempt:
    """The identity of a POST request, by which a retry is recognized.

    Attributes:
        caller: The caller's name.
        key: The caller's idempotency key.
        hash: SHA-256 of the path and the body.
    """

    caller: str
    key: str
    hash: bytes

    @classmethod
    def of(cls, caller: str, key: str, path: str, body: bytes) -> Attempt:
        """Return the attempt for a request. A retry must have the same path and, byte for byte, the same body."""
        return cls(caller, key, hashlib.sha256(path.encode() + b"\n" + body).digest())

    @property
    def values(self) -> dict[str, Any]:
        """The parameters for SQL statements."""
        return {"caller": self.caller, "key": self.key, "hash": self.hash}


@dataclass(frozen=True, slots=True)
class Answer:
    """The response to a request. A retry gets the response to the first attempt."""

    request_id: str
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """A request that is not finished.

    Attributes:
        request_id: Its id.
        run_id: The id of its run in Airflow.
        what: `run` or `replay`.
        vendor: The vendor's name.
        params: The params for the DAG run.
    """

    request_id: str
    run_id: str
    what: str
    vendor: str
    params: Mapping[str, Any]


def submit(engine: sa.Engine, attempt: Attempt, what: str, vendor: str, params: Mapping[str, Any]) -> Answer:
    """Store a request and send the notification, in one transaction.

    Args:
        engine: The database.
        attempt: The identity of the POST request.
        what: `run` or `replay`.
        vendor: The vendor's name.
        params: The params for the DAG run.

    Raises:
        Refusal: 422, the idempotency key was used for a different request.
        TargetUnavailable: The database is unavailable or busy.
    """
    values = attempt.values | {"what": what, "vendor": vendor, "params": orjson.dumps(dict(params)).decode()}
    return _execute(engine, _SUBMIT, values)


def push(engine: sa.Engine, attempt: Attempt, vendor: str, table: str, body: bytes, key: ReceivingKey) -> Answer:
    """Seal pushed records, store them in the inbox and send the notification, in one transaction.

    The hash by which a retry is recognized is keyed, because the records could be guessed from a plain one.

    Raises:
        Refusal: 422, the idempotency key was used for a different request.
        TargetUnavailable: The database is unavailable or busy.
        ConfigurationError: The inbox key is not registered in this database.
    """
    push_id = str(uuid4())
    sealed = key.seal(body, inbox.place_of(f"push.{vendor}.{table}", push_id))
    values = {"hash": bytes.fromhex(key.digest(attempt.hash)), "push_id": push_id, "vendor": vendor, "table": table}
    with inbox.require_registered():
        return _execute(engine, _PUSH, attempt.values | values | {"body": sealed})


def withdraw(engine: sa.Engine, attempt: Attempt, push_id: str) -> Answer:
    """Store the withdrawal of a push in the inbox and send the notification, in one transaction. A push is withdrawn at most once.

    Raises:
        Refusal: 403, another caller pushed it; 422, the idempotency key was used for a different request.
        TargetUnavailable: The database is unavailable or busy.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        row = connection.execute(_WITHDRAW, attempt.values | {"push": push_id}).one()
    if not row.is_own:
        raise Refusal(403, "Only the caller that pushed these records can withdraw them")
    return _to_answer(row)


def recall(engine: sa.Engine, attempt: Attempt) -> Answer | None:
    """Return the response to the first attempt, whatever the state of the request is now; None if this is the first attempt.

    Raises:
        Refusal: 422, the idempotency key was used for a different request.
    """
    with engine.connect() as connection:
        row = connection.execute(_RECALL, attempt.values).first()
    return None if row is None else _to_answer(row)


def _execute(engine: sa.Engine, statement: sa.TextClause, values: Mapping[str, Any]) -> Answer:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return _to_answer(connection.execute(statement, values).one())


def _to_answer(row: sa.Row[Any]) -> Answer:
    if not row.is_same:
        raise Refusal(422, "This Idempotency-Key was used for a different request within the last 24 hours")
    return Answer(row.answer["id"], datetime.fromisoformat(row.answer["requested_at"]))


def take(engine: sa.Engine, most: int = 50) -> list[Request]:
    """Return up to `most` of the oldest waiting requests, and count one attempt to start each of them."""
    with engine.begin() as connection:
        rows = connection.execute(_TAKE, {"most": most}).all()
    return [_request(row) for row in sorted(rows, key=lambda row: int(row.number))]


def open_requests(engine: sa.Engine) -> list[Request]:
    """Return the requests that are not finished."""
    with engine.connect() as connection:
        return [_request(row) for row in connection.execute(_OPEN)]


def settle(engine: sa.Engine, request: Request, run_state: str | None) -> None:
    """Record the state of a request's run in Airflow.

    Args:
        engine: The control database.
        request: The request.
        run_state: `queued`, `running`, `success` or `failed`. None if there is no such run; after `MOST_TRIES` attempts to start it,
            the request fails.
    """
    state = {"success": "succeeded", "failed": "failed"}.get(run_state or "", "started")
    detail = "A step failed; see the run in Airflow" if state == "failed" else None
    with engine.begin() as connection:
        if run_state is None:
            connection.execute(_GIVE_UP, {"request_id": request.request_id, "most": MOST_TRIES})
        else:
            values = {"request_id": request.request_id, "state": state, "detail": detail}
            connection.execute(_SETTLE, values)


def forget_answers(engine: sa.Engine) -> None:
    """Delete responses older than 25 hours. A retry gets a response only within 24 hours."""
    with engine.begin() as connection:
        connection.execute(_FORGET)


def _request(row: sa.Row[Any]) -> Request:
    return Request(str(row.request_id), row.run_id, row.what, row.vendor, row.params)
