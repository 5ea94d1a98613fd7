"""A few changed rows, without a bulk job: 200 a collection, five collections a call, of one object or of several.

An upsert by key may be done twice, so a killed task leaves nothing to adopt: its rows go out again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson
import sqlalchemy as sa

from include.crm.objects.mapping import CrmObject, Field
from include.crm.salesforce import DATA, Answer, SalesforceSession
from include.crm.sync.results import Outcome
from include.errors import ConfigurationError, TargetUnavailable

COLLECTION_ROWS = 200
CALL_COLLECTIONS = 5
"""Of the 25 subrequests that a composite takes, so many may be collections."""


@dataclass
class Batch:
    """The rows of one object on their way.

    Attributes:
        wanted: The object.
        job_id: Under which ledger and state know it; not Salesforce's.
        rows: Key and payload, parents' children together.
        outcomes: What became of them, in no order.
    """

    wanted: CrmObject
    rows: Sequence[tuple[str, dict[str, str | None]]]
    job_id: str = field(default_factory=lambda: f"rest-{uuid.uuid4()}")
    outcomes: list[Outcome] = field(default_factory=list)


def rows_of(db: sa.Connection) -> list[tuple[str, dict[str, str | None]]]:
    """Reads `sending`: few rows, by the way they go."""
    found = db.execute(sa.text("select external_key, payload from sending order by part, row_number"))
    return [(row.external_key, row.payload) for row in found]


def send(session: SalesforceSession, batches: Sequence[Batch], check: Callable[[], None]) -> None:
    """Sends batches in order, and fills their outcomes; `check` is asked before each call whether we may still write.

    Raises:
        ConfigurationError: Salesforce does not take an object or a field.
        TributaryError: As `SalesforceSession.call` raises.
    """
    pieces = _pieces(batches)
    while call := list(islice(pieces, CALL_COLLECTIONS)):
        session.check_reserve()
        check()
        asked = [_subrequest(batch, rows, n) for n, (batch, rows) in enumerate(call)]
        answer = session.call("POST", "/composite", {"allOrNone": False, "compositeRequest": asked})
        for (batch, rows), said in zip(call, _answers(answer, len(call)), strict=True):
            batch.outcomes += _outcomes(batch, rows, said)


def _pieces(batches: Sequence[Batch]) -> Iterator[tuple[Batch, Sequence[tuple[str, dict[str, str | None]]]]]:
    for batch in batches:
        for start in range(0, len(batch.rows), COLLECTION_ROWS):
            yield batch, batch.rows[start : start + COLLECTION_ROWS]


def _subrequest(batch: Batch, rows: Sequence[tuple[str, dict[str, str | None]]], number: int) -> dict[str, Any]:
    wanted = batch.wanted
    return {
        "method": "PATCH",
        "url": f"{DATA}/composite/sobjects/{wanted.sobject}/{wanted.key_field}",
        "referenceId": f"part{number}",
        "body": {"allOrNone": False, "records": [record(wanted, key, payload) for key, payload in rows]},
    }


def record(wanted: CrmObject, key: str, payload: dict[str, str | None]) -> dict[str, Any]:
    """One row as JSON; numbers keep their digits."""
    said: dict[str, Any] = {"attributes": {"type": wanted.sobject}, wanted.key_field: key}
    for item in wanted.fields:
        if item.name not in payload:
            continue
        relationship, _, parent_key = item.name.partition(".")
        value = payload[item.name]
        if not parent_key:
            said[item.name] = _typed(item, value)
        elif value is None:
            said[_id_of(relationship)] = None
        else:
            said[relationship] = {parent_key: value}
    return said


def _typed(item: Field, value: str | None) -> Any:
    if value is None or item.kind in ("text", "time"):
        return value
    return value == "true" if item.kind == "flag" else orjson.Fragment(value)


def _id_of(relationship: str) -> str:
    """The lookup's own field, by which it is cleared."""
    return f"{relationship.removesuffix('__r')}__c" if relationship.endswith("__r") else f"{relationship}Id"


def _answers(answer: Answer, count: int) -> list[Any]:
    """The body of each subrequest's answer."""
    said = answer.body.get("compositeResponse") if isinstance(answer.body, dict) else None
    if not answer.is_ok or not isinstance(said, list) or len(said) != count:
        raise ConfigurationError("Salesforce refuses a composite call", status=answer.status, code=answer.code)
    return said


def _outcomes(batch: Batch, rows: Sequence[tuple[str, dict[str, str | None]]], said: Any) -> Iterator[Outcome]:
    body, status = said["body"], int(said["httpStatusCode"])
    if status >= 500:
        raise TargetUnavailable("Salesforce failed", sobject=batch.wanted.sobject, status=status)
    if status >= 300 or len(body) != len(rows):
        first = body[0] if isinstance(body, list) and body else {}
        raise ConfigurationError(
            f"Salesforce refuses rows: {first.get('message', '')}", sobject=batch.wanted.sobject, status=status,
            code=first.get("errorCode"),
        )  # fmt: skip
    for (key, _), each in zip(rows, body, strict=True):
        yield outcome_of(key, each | {"created": bool(each.get("created"))})


def outcome_of(key: str, said: Mapping[str, Any]) -> Outcome:
    """What a collection's answer says of one row; an insert's, which says nothing of it, created it."""
    if said["success"]:
        return Outcome(key, "created" if said.get("created", True) else "updated", said["id"])
    first = said["errors"][0]
    fields = " ".join(first.get("fields") or ())
    return Outcome(key, "failed", None, f"{first['statusCode']}:{first['message']}:{fields}")
