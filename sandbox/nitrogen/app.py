"""Nitrogen's API (formerly Riskalyze's), as its client libraries use it. Each list has only the records of one advisor.

Faults in addition to the common ones: `token_expired`, and `error_in_body` (a response of 200 that contains an error).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from sandbox.firm.edits import Edit
from sandbox.firm.households import Firm
from sandbox.firm.records import Files, GeneratedRecords, Records, Row, store_edit
from sandbox.firm.world import World
from sandbox.nitrogen.login import CLIENT_ID, CLIENT_SECRET, Grants, connect, write_refresh_token
from sandbox.nitrogen.rows import FIRST_ADVISOR, TABLES, VENDOR, RowWriter
from sandbox.server.calls import Calls
from sandbox.server.clock import Clock
from sandbox.server.faults import Faults, distort
from sandbox.server.response import Refused, create_vendor_app, read_form, read_query, reply, write_moment

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "create_app", "edit", "list_refresh_tokens", "list_true_matches"]

_API = "/ap/v1"


def list_refresh_tokens(firm: Firm) -> dict[int, str]:
    """Return the first refresh token of each advisor, by `advisor_user_id`."""
    return {advisor: write_refresh_token(advisor) for advisor in _list_advisors(firm)}


def _list_advisors(firm: Firm) -> list[int]:
    return [FIRST_ADVISOR + representative.id for representative in firm.draw_representatives()]


def create_app(world: World, faults: Faults, calls: Calls, clock: Clock, data: Path | None = None) -> FastAPI:
    """Return the application to mount at `/nitrogen`.

    Args:
        world: The firm. Its folder has the grants and the edits.
        faults: The active faults.
        calls: Unused; no rate limit is known.
        clock: The sandbox's time, by which access tokens expire.
        data: Folder of your own data, served instead of the synthetic firm: `<table>.jsonl`. Each line needs `household` and
            `advisor_user_id`, the advisor of the firm in whose lists it appears.

    Raises:
        ValueError: a line of `data` cannot be read.
    """
    writer = RowWriter(world)
    generated = GeneratedRecords(writer.numbers, {table: getattr(writer, f"write_{table}") for table in TABLES})
    records = Records(world, VENDOR, TABLES, Files(data, TABLES) if data else generated)
    grants, advisors = Grants(world.path.parent, clock), _list_advisors(world.firm)
    app = create_vendor_app()

    @app.post(_API + "/oauthpro/token")
    async def refresh(request: Request) -> Response:
        _fail_in_body(faults, request)
        form = await read_form(request)
        return reply(await run_in_threadpool(grants.refresh, form, advisors))

    def list_rows(request: Request, table: str) -> list[Row]:
        if faults.take(request.url.path, "token_expired"):
            grants.forget(request.headers)
        advisor = grants.find_advisor(request.headers)
        _fail_in_body(faults, request)
        read_query(request)
        rows = [row for key in records.list_keys() for row in records.read(table, key, advisor_user_id=str(advisor))]
        return distort(faults, request.url.path, rows)

    @app.get(_API + "/clients")
    def list_clients(request: Request) -> Response:
        return reply(list_rows(request, "clients"))

    @app.get(_API + "/portfolios")
    def list_portfolios(request: Request) -> Response:
        return reply({"data": list_rows(request, "portfolios")})

    @app.get(_API + "/questionnaires")
    def list_questionnaires(request: Request) -> Response:
        return reply({"data": list_rows(request, "questionnaires")})

    return app


def _fail_in_body(faults: Faults, request: Request) -> None:
    if faults.take(request.url.path, "error_in_body"):
        raise Refused(200, {"error": "server_error", "error_description": "Something went wrong."})


def edit(world: World, kind: str, values: Mapping[str, Any]) -> Edit:
    """Store a change by an advisor or a client. Return the stored edit, or for `connect` the new token.

    Args:
        world: The firm.
        kind: The kind of edit, one of:

            - `set_fields`: table, id, set.
            - `delete`: table, id.
            - `complete_questionnaire`: questionnaire_id, client_id, risk_number (from 1 to 99). It also sets the client's risk
              number.
            - `connect`: advisor_user_id. It creates a new grant and returns its first `refresh_token`.

        values: The values of the kind.

    Raises:
        KeyError, ValueError: the edit is unknown, or a value is missing.
    """
    if kind == "connect":
        advisor = int(values["advisor_user_id"])
        if advisor not in _list_advisors(world.firm):
            raise KeyError(advisor)
        return {"refresh_token": connect(world.path.parent, advisor)}
    if kind == "complete_questionnaire":
        return _complete(world, values["questionnaire_id"], values["client_id"], int(values["risk_number"]))
    return store_edit(world, VENDOR, TABLES, kind, values)


def _complete(world: World, questionnaire_id: int, client_id: int, risk_number: int) -> Edit:
    if not 1 <= risk_number <= 99:
        raise ValueError("risk_number must be from 1 to 99")
    done_at = write_moment(world.clock.now())
    done = {"risk_number": risk_number, "completed": "1", "timestamp": done_at}
    client = {"risk_number": risk_number, "risk_metric": {"type": "risk_number", "value": risk_number}}
    store_edit(world, VENDOR, TABLES, "set_fields", {"table": "clients", "id": client_id, "set": client})
    return store_edit(
        world, VENDOR, TABLES, "set_fields", {"table": "questionnaires", "id": questionnaire_id, "set": done}
    )


def list_true_matches(world: World) -> list[tuple[str, str]]:
    """Return the correct matches, as pairs of a key here and a key in the firm: clients with households and with people."""
    writer = RowWriter(world)
    return [pair for number in writer.numbers.values() for pair in writer.list_true_matches(number)]
