"""The HTTP routes of Bulk API 2.0: jobs, uploads and results."""

import base64
import binascii
import csv
import io
import json
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.ingest import DELIMITERS, stream_results
from sandbox.salesforce.jobs import Job, Jobs, show
from sandbox.salesforce.org import Org
from sandbox.salesforce.query import Plan

CSV = "text/csv; charset=UTF-8"
QUERY_PAGE_ROWS = 50_000
_PIECE_ROWS = 1000
# Salesforce limits an upload to 150 MB after base64 encoding.
MOST_UPLOAD_BYTES = 150_000_000 // 4 * 3
_RESULTS = {"successfulresults": "successful", "failedresults": "failed", "unprocessedrecords": "unprocessed"}


async def answer_bulk(org: Org, jobs: Jobs, request: Request, version: str, path: str, user_id: str) -> Response:
    """Respond to a call below `/services/data/vNN.N/jobs`; `path` is the rest of the path, such as `/ingest/750...`.

    Raises:
        ApiError: The call is rejected.
    """
    kind, *rest = path.strip("/").split("/")
    if kind not in {"ingest", "query"} or len(rest) > 2:
        raise ApiError(404, "NOT_FOUND", "The requested resource does not exist")
    match request.method, rest:
        case "POST", []:
            return await _create(jobs, request, kind, version, user_id)
        case "GET", []:
            selected = [job for job in jobs.list_jobs() if (job["jobType"] == "V2Query") == (kind == "query")]
            return _render_json({"done": True, "records": [show(job) for job in selected], "nextRecordsUrl": None})
        case _, []:
            raise _not_allowed(request.method)
    job = await run_in_threadpool(jobs.find, kind, rest[0])
    match request.method, rest[1:]:
        case "GET", []:
            return _render_json(show(job))
        case "PATCH", []:
            body = await read_json(request)
            return _render_json(show(await run_in_threadpool(_change_state, jobs, job, body)))
        case "DELETE", []:
            await run_in_threadpool(jobs.delete, job)
            return Response(status_code=204)
        case "PUT", ["batches"] if kind == "ingest":
            await _upload(jobs, job, request.stream())
            return Response(status_code=201)
        case "GET", [word] if kind == "ingest" and word.lower() in _RESULTS:
            pieces = stream_results(jobs.folder(job["id"]), job, _RESULTS[word.lower()])
            return StreamingResponse(pieces, media_type=CSV)
        case "GET", ["results"] if kind == "query":
            return await run_in_threadpool(_render_page, org, job, version, dict(request.query_params))
    raise _not_allowed(request.method)


def _not_allowed(method: str) -> ApiError:
    return ApiError(405, "METHOD_NOT_ALLOWED", f"HTTP Method '{method}' not allowed")


async def read_json(request: Request) -> Any:
    """Return the request's JSON body, with decimals instead of floats; None if there is no body.

    Raises:
        ApiError: JSON_PARSER_ERROR, the body is not JSON.
    """
    body = await request.body()
    try:
        return json.loads(body, parse_float=Decimal) if body else None
    except ValueError as error:
        raise ApiError(400, "JSON_PARSER_ERROR", f"The body is not JSON: {error}") from error


async def _create(jobs: Jobs, request: Request, kind: str, version: str, user_id: str) -> Response:
    body = await read_json(request)
    if not isinstance(body, dict) or not all(isinstance(value, str | None) for value in body.values()):
        raise ApiError(400, "INVALIDJOB", "The body must be one job whose values are strings")
    body = {name: value for name, value in body.items() if value is not None}
    path = request.scope["path"].rstrip("/")
    return _render_json(show(await run_in_threadpool(jobs.create, kind, body, version, user_id, path)))


def _change_state(jobs: Jobs, job: Job, body: Any) -> Job:
    state = body.get("state") if isinstance(body, dict) else None
    if state == "Aborted":
        return jobs.abort(job)
    if state == "UploadComplete" and job["jobType"] == "V2Ingest":
        return jobs.end_upload(job)
    raise ApiError(400, "INVALIDJOBSTATE", f"A job cannot be put into state {state}")


async def _upload(jobs: Jobs, job: Job, pieces: AsyncIterator[bytes]) -> None:
    if job["state"] != "Open":
        raise ApiError(400, "INVALIDJOBSTATE", f"Data cannot be added to a job in state {job['state']}")
    part: Path = jobs.folder(job["id"]) / "data.part"
    size = 0
    with part.open("wb") as file:
        async for piece in pieces:
            size += len(piece)
            if size > MOST_UPLOAD_BYTES:
                raise ApiError(413, "EXCEEDED_MAX_SIZE_REQUEST", "The file is larger than 150 MB in base64")
            file.write(piece)
    part.replace(part.with_name("data.csv"))
    await run_in_threadpool(jobs.change, job["id"], _uploads=job["_uploads"] + 1)


def _render_page(org: Org, job: Job, version: str, params: dict[str, str]) -> Response:
    if job["state"] != "JobComplete":
        raise ApiError(400, "INVALIDJOBSTATE", f"The job is in state {job['state']}")
    if job["apiVersion"] != float(version[1:]):
        raise ApiError(409, "VERSION_MISMATCH", "Results must be read with the API version that created the job")
    try:
        start = int(base64.urlsafe_b64decode(params["locator"])) if params.get("locator") else 0
        most = int(params.get("maxRecords", QUERY_PAGE_ROWS))
    except (ValueError, binascii.Error) as error:
        raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid locator or maxRecords") from error
    with org.store.read() as connection:
        plan, total = org.queries.open_cursor(connection, job["id"], start)
    end = min(start + most, total)
    locator = "null" if end >= total else base64.urlsafe_b64encode(str(end).encode()).decode()
    headers = {"Sforce-Locator": locator, "Sforce-NumberOfRecords": str(max(0, end - start))}
    return StreamingResponse(_stream_page(org, job, plan, start, end), media_type=CSV, headers=headers)


def _stream_page(org: Org, job: Job, plan: Plan, start: int, end: int) -> Iterator[str]:
    """Yield the rows from `start` up to `end` of a query's results as CSV, in pieces, with the header first."""
    text = io.StringIO(newline="")
    writer = csv.writer(
        text,
        delimiter=DELIMITERS[job["columnDelimiter"]],
        quoting=csv.QUOTE_ALL,
        lineterminator="\r\n" if job["lineEnding"] == "CRLF" else "\n",
    )
    writer.writerow([item.path for item in plan.selected])
    with org.store.read() as connection:
        rows = plan.read_cursor(connection, job["id"], start, end - start, is_csv=True)
        while piece := list(islice(rows, _PIECE_ROWS)):
            writer.writerows(piece)
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    yield text.getvalue()


def _render_json(body: object) -> Response:
    return Response(orjson.dumps(body), media_type="application/json;charset=UTF-8")
