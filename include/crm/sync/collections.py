"""Send a few changed rows without a bulk job, by Salesforce's collection requests.

A collection contains up to 200 rows of one object. A call contains up to five collections, of one or several objects. An upsert by
key is safe to repeat, so the rows of a killed task are just sent again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson
import sqlalchemy as sa

from include.crm.composite import CALL_COLLECTIONS, COLLECTION_ROWS, send_requests
from include.crm.objects.mapping import CrmObject, Field, name_lookup
from include.crm.salesforce import DATA, SalesforceSession
from include.crm.sync.results import NO_REASON, Outcome
from include.crm.temporary import TempTable
from include.errors import ConfigurationError


@dataclass
class Batch:
    """The outgoing rows of one object.

    Attributes:
        mapping: The object.
        job_id: Our own id in the ledger and in `control.crm_job`, not Salesforce's.
        rows: Pairs of key and payload. The children of a parent follow each other.
        outcomes: The outcome of each row, in any order; empty until the batch is sent.
    """

    mapping: CrmObject
    rows: Sequence[tuple[str, dict[str, str | None]]]
    job_id: str = field(default_factory=lambda: f"rest-{uuid.uuid4()}")
    outcomes: list[Outcome] = field(default_factory=list)


def read_rows(db: sa.Connection, sending: TempTable) -> list[tuple[str, dict[str, str | None]]]:
    """Return the records to send as pairs of key and payload, in order. Use it only for a few rows, because it reads all into memory."""
    rows = db.execute(sa.text(f"select external_key, payload from {sending} order by part, row_number"))  # noqa: S608
    return [(row.external_key, row.payload) for row in rows]


def send(session: SalesforceSession, batches: Sequence[Batch], check: Callable[[], None]) -> None:
    """Send batches in order, and fill in the outcomes of their rows.

    Args:
        session: The session.
        batches: The batches.
        check: Called before each call to Salesforce; raises if this sync may no longer write.

    Raises:
        ConfigurationError: Salesforce rejected an object or a field.
        TargetUnavailable: Salesforce is unavailable.
        RateLimited: The org's daily calls are used up to the reserve.
        AuthenticationError: The credentials or the user's permissions are insufficient.
    """
    pieces = _split(batches)
    while call := list(islice(pieces, CALL_COLLECTIONS)):
        session.check_reserve()
        check()
        requests = [_build_subrequest(batch, rows, n) for n, (batch, rows) in enumerate(call)]
        for (batch, rows), response in zip(call, send_requests(session, requests), strict=True):
            batch.outcomes += _read_outcomes(batch, rows, response)


def _split(batches: Sequence[Batch]) -> Iterator[tuple[Batch, Sequence[tuple[str, dict[str, str | None]]]]]:
    for batch in batches:
        for start in range(0, len(batch.rows), COLLECTION_ROWS):
            yield batch, batch.rows[start : start + COLLECTION_ROWS]


def _build_subrequest(batch: Batch, rows: Sequence[tuple[str, dict[str, str | None]]], number: int) -> dict[str, Any]:
    mapping = batch.mapping
    return {
        "method": "PATCH",
        "url": f"{DATA}/composite/sobjects/{mapping.sobject}/{mapping.key_field}",
        "referenceId": f"part{number}",
        "body": {"allOrNone": False, "records": [build_record(mapping, key, payload) for key, payload in rows]},
    }


def build_record(mapping: CrmObject, key: str, payload: dict[str, str | None]) -> dict[str, Any]:
    """Return one row as a JSON object for a collection. Numbers keep all their digits; fields that the payload lacks are left out."""
    record: dict[str, Any] = {"attributes": {"type": mapping.sobject}, mapping.key_field: key}
    for item in mapping.fields:
        if item.name not in payload:
            continue
        relationship, _, parent_key = item.name.partition(".")
        value = payload[item.name]
        if not parent_key:
            record[item.name] = _convert(item, value)
        elif value is None:
            record[name_lookup(relationship)] = None
        else:
            kind = {"attributes": {"type": item.parent_type}} if item.parent_type else {}
            record[relationship] = kind | {parent_key: value}
    return record


def _convert(item: Field, value: str | None) -> Any:
    if value is None or item.kind in ("text", "time"):
        return value
    return value == "true" if item.kind == "flag" else orjson.Fragment(value)


def _read_outcomes(batch: Batch, rows: Sequence[tuple[str, dict[str, str | None]]], response: Any) -> Iterator[Outcome]:
    body, status = response["body"], int(response["httpStatusCode"])
    if status >= 300 or len(body) != len(rows):
        first = body[0] if isinstance(body, list) and body else {}
        raise ConfigurationError(
            f"Salesforce rejected rows: {first.get('message', '')}", sobject=batch.mapping.sobject, status=status,
            code=first.get("errorCode"),
        )  # fmt: skip
    for (key, _), each in zip(rows, body, strict=True):
        yield read_outcome(key, each | {"created": bool(each.get("created"))})


def read_outcome(key: str, result: Mapping[str, Any]) -> Outcome:
    """Return the outcome of one row of a collection request.

    A success without `created` means that the row was created, because the results of an insert lack `created`.
    """
    if result["success"]:
        return Outcome(key, "created" if result.get("created", True) else "updated", result["id"])
    if not result.get("errors"):
        return Outcome(key, "failed", None, NO_REASON)
    first = result["errors"][0]
    fields = " ".join(first.get("fields") or ())
    return Outcome(key, "failed", None, f"{first['statusCode']}:{first['message']}:{fields}")
