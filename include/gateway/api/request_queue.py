"""What callers ask of us, kept until it is done. The API puts it in and rings; the DAG `serve_requests` takes it out.

A request is started once, whatever dies in between: the run in Airflow is named after it, and a name is given once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from include.gateway.problem import Refusal

CHANNEL = "tributary_requests"
MOST_TRIES = 5

_ASK = sa.text("select * from control.ask(:caller, :key, :hash, :what, :vendor, cast(:params as jsonb))")
_PUSH = sa.text("select * from control.push(:caller, :key, :hash, :vendor, :table, :body)")
_RECALL = sa.text("""
select request_hash = :hash as is_same, answer from control.idempotency
where caller = :caller and idempotency_key = :key and answered_at >= clock_timestamp() - interval '24 hours'
""")
# While something runs, now and then is soon enough to see its end.
IS_WAITING = """
select exists (select from control.request
               where state = 'waiting'
                  or state = 'started' and looked_at < clock_timestamp() - interval '2 minutes')
"""
"""The question of `is_waiting`, for whoever has a connection and no engine."""
_TAKE = sa.text("""
update control.request set tries = tries + 1
where request_id in (select request_id from control.request where state = 'waiting' order by number limit :most for update skip locked)
returning number, request_id, run_id, what, vendor, params
""")
_OPEN = sa.text("""
select number, request_id, run_id, what, vendor, params from control.request where state in ('waiting', 'started') order by number
""")
# One that is done stays as it is.
_SETTLE = sa.text("""
update control.request
set state = :state, detail = :detail, looked_at = clock_timestamp(),
    ended_at = case when :state in ('succeeded', 'failed') then clock_timestamp() end
where request_id = :request_id and state in ('waiting', 'started')
""")
_GIVE_UP = sa.text("""
update control.request
set state = 'failed', detail = 'It could not be started', looked_at = clock_timestamp(), ended_at = clock_timestamp()
where request_id = :request_id and state = 'waiting' and tries >= :most
""")
_FORGET = sa.text("delete from control.idempotency where answered_at < clock_timestamp() - interval '25 hours'")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call that changes something, by which it is known when it comes again.

    Attributes:
        caller: Who calls.
        key: The caller's idempotency key.
        hash: Of what is asked.
    """

    caller: str
    key: str
    hash: bytes

    @classmethod
    def of(cls, caller: str, key: str, path: str, body: bytes) -> Attempt:
        """Two attempts are one if path and body are the same, byte for byte."""
        return cls(caller, key, hashlib.sha256(path.encode() + b"\n" + body).digest())

    @property
    def values(self) -> dict[str, Any]:
        """For a statement."""
        return {"caller": self.caller, "key": self.key, "hash": self.hash}


@dataclass(frozen=True, slots=True)
class Answer:
    """What an attempt was answered, now or when it first came."""

    request_id: str
    asked_at: datetime


@dataclass(frozen=True, slots=True)
class Request:
    """A request that is not done.

    Attributes:
        request_id: Its id.
        run_id: What its run is called in Airflow.
        what: `run` or `replay`.
        vendor: Whose.
        params: What the form of the DAG is filled in with.
    """

    request_id: str
    run_id: str
    what: str
    vendor: str
    params: Mapping[str, Any]


def ask(engine: sa.Engine, attempt: Attempt, what: str, vendor: str, params: Mapping[str, Any]) -> Answer:
    """Keeps a request and rings, in one transaction.

    Raises:
        Refusal: 422, the attempt's key was used for something else.
        TargetUnavailable: The database is away or busy.
    """
    values = attempt.values | {"what": what, "vendor": vendor, "params": orjson.dumps(dict(params)).decode()}
    return _answer(engine, _ASK, values)


def push(engine: sa.Engine, attempt: Attempt, vendor: str, table: str, body: bytes) -> Answer:
    """Puts records into the inbox and rings, in one transaction; raises as `ask`."""
    return _answer(engine, _PUSH, attempt.values | {"vendor": vendor, "table": table, "body": body})


def recall(engine: sa.Engine, attempt: Attempt) -> Answer | None:
    """Returns what an attempt was answered when it first came, whatever has become of that; None where it is new.

    Raises:
        Refusal: As `ask`.
    """
    with engine.connect() as connection:
        told = connection.execute(_RECALL, attempt.values).first()
    return None if told is None else _read(told)


def _answer(engine: sa.Engine, statement: sa.TextClause, values: Mapping[str, Any]) -> Answer:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        return _read(connection.execute(statement, values).one())


def _read(told: sa.Row[Any]) -> Answer:
    if not told.is_same:
        raise Refusal(422, "This Idempotency-Key was used for something else within the last 24 hours")
    return Answer(told.answer["id"], datetime.fromisoformat(told.answer["asked_at"]))


def is_waiting(engine: sa.Engine) -> bool:
    """Whether there is something to start, or a run at whose end somebody should look."""
    with engine.connect() as connection:
        return bool(connection.scalar(sa.text(IS_WAITING)))


def take(engine: sa.Engine, most: int = 50) -> list[Request]:
    """Returns the first requests that wait, and counts that somebody sets out to start them."""
    with engine.begin() as connection:
        rows = connection.execute(_TAKE, {"most": most}).all()
    return [_request(row) for row in sorted(rows, key=lambda row: int(row.number))]


def open_requests(engine: sa.Engine) -> list[Request]:
    """Returns the requests that are not done."""
    with engine.connect() as connection:
        return [_request(row) for row in connection.execute(_OPEN)]


def settle(engine: sa.Engine, request: Request, run_state: str | None) -> None:
    """Notes what Airflow says of a request's run; None: there is none, and after some tries there will be none.

    Args:
        engine: The control database.
        request: Which.
        run_state: `queued`, `running`, `success` or `failed`.
    """
    state = {"success": "succeeded", "failed": "failed"}.get(run_state or "", "started")
    detail = "A step failed; Airflow says which" if state == "failed" else None
    with engine.begin() as connection:
        if run_state is None:
            connection.execute(_GIVE_UP, {"request_id": request.request_id, "most": MOST_TRIES})
        else:
            values = {"request_id": request.request_id, "state": state, "detail": detail}
            connection.execute(_SETTLE, values)


def forget_answers(engine: sa.Engine) -> None:
    """Drops answers that nobody may ask for again."""
    with engine.begin() as connection:
        connection.execute(_FORGET)


def _request(row: sa.Row[Any]) -> Request:
    return Request(str(row.request_id), row.run_id, row.what, row.vendor, row.params)
