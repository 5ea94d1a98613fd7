"""Tamarac's API: the small part that is publicly documented, and our assumptions for the rest.

Our assumptions:

- The custodians' nightly files are complete at 05:30 in New York, so a session closes on the following day.
- `pageSize` is 200 by default and at most 1000.
- The link to the next page contains an opaque `pageToken`.
- A request for holdings on a day after the last closed day returns the holdings of the last closed day. `As Of Date` shows which
  day it is.
"""

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from sandbox.firm.edits import Edit
from sandbox.firm.likeness import write_person_key
from sandbox.firm.market import Market
from sandbox.firm.world import World
from sandbox.server.calls import Calls
from sandbox.server.clock import Clock
from sandbox.server.faults import Faults, distort
from sandbox.server.response import Refused, create_vendor_app, read_basic, read_query, reply
from sandbox.tamarac.folder import Folder
from sandbox.tamarac.house import Drawing, label_account, label_client
from sandbox.tamarac.office import Office, find_synced_session
from sandbox.tamarac.reports import Jobs
from sandbox.tamarac.rows import IDS, Row

USER, PASSWORD = "tributary-tamarac", "sandbox-only"  # valid for this sandbox only
_ROWS, _MOST_ROWS = 200, 1000


def create_app(world: World, faults: Faults, calls: Calls, clock: Clock, data: Path | None = None) -> FastAPI:
    """Return the application to mount at `/tamarac`.

    Faults in addition to the common ones: `sync_failed` on custodial-sync, `rows_added` and `rows_removed` on a list, and the faults of
    reports (see `tamarac.reports.Jobs`).

    Args:
        world: The firm, its edits and its clock.
        faults: The active faults.
        calls: Unused; the front end counts calls.
        clock: Unused; the world has the same clock.
        data: Folder of your own data, served instead of the synthetic firm.

    Raises:
        ValueError: a line of `data` cannot be read.
    """
    source = Folder(data, world) if data else Office(world)
    jobs, app = Jobs(source, faults), create_vendor_app()

    @app.get("/api/custodial-sync")
    def read_sync(request: Request) -> Response:
        _admit(request)
        read_query(request)
        status = "Complete" if source.is_synced else "Running"
        if faults.take(request.url.path, "sync_failed"):
            status = "Failed"
        return reply({"status": status, "lastSuccessfulDate": source.closed_through.isoformat()})

    @app.post("/api/reports")
    async def submit(request: Request) -> Response:
        _admit(request)
        read_query(request)
        job = await run_in_threadpool(jobs.submit, _read_json(await request.body()))
        return reply({"jobId": job}, 202)

    @app.get("/api/reports/{job}")
    def poll(request: Request, job: int) -> Response:
        _admit(request)
        read_query(request)
        return reply(jobs.poll(job))

    @app.get("/api/reports/{job}/file")
    def send(request: Request, job: int) -> Response:
        _admit(request)
        read_query(request)
        return jobs.send(job)

    @app.get("/api/{table}")
    def list_rows(request: Request, table: str) -> Response:
        _admit(request)
        if table not in IDS:
            raise Refused(404, {"message": f"unknown list {table!r}"})
        return reply(_find_page(source, faults, request, table))

    return app


def edit(world: World, kind: str, values: Mapping[str, Any]) -> Edit:
    """Apply and store a person's edit in Tamarac. Return the stored edit.

    The kinds and their values:

    - `correct_transaction`: transaction_id, and any of quantity, price, trade_date.
    - `reverse_transaction`: transaction_id.
    - `backdate_trade`: account_id, symbol, trade_date, quantity (negative for a sale), and optionally price.
    - `close_account`: account_id, date.
    - `move_account`: account_id, household_id.
    - `rename_household`: household_id, name.
    - `set_fields`: table, id, set.
    - `closed_through`: date (null follows the clock again).

    With data from files, only `set_fields` and `closed_through` have an effect.

    Raises:
        KeyError, ValueError: the edit is unknown or impossible; nothing is stored.
    """
    return Office(world).edit(kind, values)


def list_true_matches(world: World) -> list[tuple[str, str]]:
    """Return the correct matches, as pairs of a key here and a key in the firm: of households, of clients with people, and of accounts.

    The clients of the acquired office, which only Tamarac has, have keys of the same form.
    """
    drawing, pairs = Drawing(world.firm), list[tuple[str, str]]()
    market = Market(world.firm.seed, world.firm.first, find_synced_session(world.clock.now()))
    for number in drawing.numbers:
        drawn = drawing.office.draw_household(number, market, has_trades=False)
        house = drawing.draw_origin(number) or drawn
        pairs.append((f"households:H{drawn.id}", f"household:{house.id}"))
        for place in range(len(house.people)):
            pairs.append((f"clients:{label_client(drawn.id, place)}", write_person_key(house, place)))
        accounts = (account for account in drawn.accounts if not account.is_parent)
        pairs += [(f"accounts:{label_account(account.id)}", f"account:{account.id}") for account in accounts]
    return pairs


def _admit(request: Request) -> None:
    """Raise `Refused` (401) unless the request has valid credentials."""
    if read_basic(request.headers) != (USER, PASSWORD):
        raise Refused(401)


def _read_json(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise Refused(400, {"message": "the body is not JSON"}) from error
    if not isinstance(value, dict):
        raise Refused(400, {"message": "the body is not an object"})
    return value


def _find_page(source: Office | Folder, faults: Faults, request: Request, table: str) -> Row:
    """Return one page of a list. A page token contains the first positions of the requested page and of the page before."""
    query = read_query(request, pageSize=str(_ROWS), pageToken="")
    if not query["pageSize"].isdigit() or not 1 <= int(query["pageSize"]) <= _MOST_ROWS:
        raise Refused(400, {"message": f"pageSize must be a number from 1 to {_MOST_ROWS}"})
    size, start, before = int(query["pageSize"]), 0, None
    if query["pageToken"]:
        start, before = _read_token(query["pageToken"])
    rows = source.read(table, start)
    if before is not None:
        if fault := faults.take(request.url.path, "rows_removed"):
            rows = itertools.islice(rows, int(fault.options.get("count", 1)), None)
        elif fault := faults.take(request.url.path, "rows_added"):
            previous = list(itertools.takewhile(lambda row: row[0] < start, source.read(table, before)))
            rows = itertools.chain(previous[-int(fault.options.get("count", 1)) :], rows)
    page = list(itertools.islice(rows, size + 1))
    answer: Row = {"items": distort(faults, request.url.path, [row for _, row in page[:size]])}
    if len(page) > size:
        token = f"{page[size][0]}-{page[0][0]}"
        answer["nextPageUrl"] = str(request.url.replace_query_params(pageSize=size, pageToken=token))
    return answer


def _read_token(token: str) -> tuple[int, int]:
    start, dash, before = token.partition("-")
    if not (start.isdigit() and dash and before.isdigit()):
        raise Refused(400, {"message": "the pageToken is invalid"})
    return int(start), int(before)
