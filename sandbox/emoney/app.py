"""The public part of eMoney's API. Rate limits follow the sandbox's clock; `/_sandbox/calls` reports violations.

Faults in addition to the common ones: `token_expired`, and `not_calculated` (a projection returns 409).
"""

import random
import re
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from sandbox.emoney.login import TOKEN_SECONDS, Tokens, read_credentials
from sandbox.emoney.rows import TABLES, VENDOR, RowWriter, shake, write_guid
from sandbox.firm.edits import Edit
from sandbox.firm.likeness import write_person_key
from sandbox.firm.outside import draw_holdings
from sandbox.firm.records import Files, GeneratedRecords, Records, Row, Source, store_edit
from sandbox.firm.world import World
from sandbox.server.calls import Calls
from sandbox.server.clock import Clock
from sandbox.server.faults import Faults, distort, shift
from sandbox.server.response import Refused, create_vendor_app, read_form, read_query, reply, write_moment

__all__ = ["create_app", "edit", "list_true_matches", "read_credentials"]

CALLS_A_MINUTE, MONTE_CARLO_AN_HOUR = 60, 250
_ROWS, _MOST_ROWS = 100, 1000
_API = "/public/v1"
_PLAN = _API + "/clients/{client_id}/plans/{plan_id}"


def create_app(world: World, faults: Faults, calls: Calls, clock: Clock, data: Path | None = None) -> FastAPI:
    """Return the application to mount at `/emoney`.

    Args:
        world: The firm. Its folder has the key pair and the edits.
        faults: The active faults.
        calls: Counts calls and violations of the limits `emoney` and `emoney_monte_carlo`.
        clock: The sandbox's time, by which tokens expire.
        data: Folder of your own data, served instead of the firm: `<table>.jsonl` for the tables in `emoney.rows.TABLES`.

    Raises:
        ValueError: a line of `data` cannot be read.
    """
    emoney = _Emoney(world, faults, calls, clock, data)
    app = create_vendor_app()
    _add_routes(app, emoney)
    return app


def _add_routes(app: FastAPI, emoney: "_Emoney") -> None:
    @app.post("/connect/token")
    async def log_in(request: Request) -> Response:
        form = await read_form(request)
        url = str(request.url.replace(query=""))
        token = await run_in_threadpool(emoney.tokens.open, form, url)
        return reply({"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS})

    @app.get(_API + "/clients")
    def list_clients(request: Request) -> Response:
        emoney.admit(request)
        return reply(emoney.list_clients(request))

    @app.get(_API + "/clients/{client_id}/plans")
    def list_plans(request: Request, client_id: str) -> Response:
        return reply(emoney.list_rows(request, "plans", client_id))

    @app.get(_API + "/clients/{client_id}/accounts")
    def list_accounts(request: Request, client_id: str) -> Response:
        return reply(emoney.list_rows(request, "accounts", client_id))

    @app.get(_PLAN + "/expenses")
    def list_expenses(request: Request, client_id: str, plan_id: str) -> Response:
        return reply(emoney.list_rows(request, "expenses", client_id, plan_id))

    @app.get(_PLAN + "/projection/montecarlo")
    def project(request: Request, client_id: str, plan_id: str) -> Response:
        return reply(emoney.project(request, client_id, plan_id))

    @app.get(_PLAN + "/projection/goalfunding/{goal_id}")
    def find_funding(request: Request, client_id: str, plan_id: str, goal_id: str) -> Response:
        rows = emoney.list_rows(request, "goal_funding", client_id, plan_id, goalId=goal_id)
        if not rows:
            raise _not_found("goal")
        return reply(rows[0])


class _Emoney:
    def __init__(self, world: World, faults: Faults, calls: Calls, clock: Clock, data: Path | None) -> None:
        self.faults, self.calls = faults, calls
        self.seed = world.firm.seed
        self.tokens = Tokens(world.path.parent, clock)
        self.records = Records(world, VENDOR, TABLES, Files(data, TABLES) if data else _draw(world))
        self._simulations: Counter[str] = Counter()
        self._lock = threading.Lock()

    def admit(self, request: Request) -> None:
        """Check a request's token, its API key and the rate limit per minute.

        Raises:
            Refused: 401 for an invalid token or key, 429 if the limit is exceeded.
        """
        if self.faults.take(request.url.path, "token_expired"):
            self.tokens.forget(request.headers)
        self.tokens.check(request.headers)
        self._check_rate("emoney", CALLS_A_MINUTE, 60)

    def _check_rate(self, limit: str, most: int, seconds: int) -> None:
        if not self.calls.allow(limit, most, seconds):
            raise Refused(429, {"message": f"more than {most} calls in {seconds} seconds"})

    def list_clients(self, request: Request) -> list[Row]:
        """Return one page of clients, in order of id.

        Raises:
            Refused: 400, if the page or its size is invalid.
        """
        query = read_query(request, page="1", pageSize=str(_ROWS))
        page, size = _read_count(query["page"]), _read_count(query["pageSize"])
        if size > _MOST_ROWS:
            raise Refused(400, {"message": f"pageSize is at most {_MOST_ROWS}"})
        skip, path = (page - 1) * size, request.url.path
        keys = shift(self.faults, path, self.records.list_keys(), skip)
        rows = [row for key in keys[skip : skip + size] for row in self.records.read("clients", key)]
        return distort(self.faults, path, rows)

    def list_rows(self, request: Request, table: str, client_id: str, plan_id: str = "", **filters: str) -> list[Row]:
        """Authorize a request, and return the rows of a client, or of one of its plans.

        `filters` selects rows by field: the field's value must equal the given text.

        Raises:
            Refused: 401 or 429 (see `admit`), 400 for a query parameter, 404 for an unknown client or plan.
        """
        self.admit(request)
        read_query(request)
        self._find(client_id, plan_id)
        rows = self.records.read(table, client_id, **filters | ({"planId": plan_id} if plan_id else {}))
        return distort(self.faults, request.url.path, rows)

    def project(self, request: Request, client_id: str, plan_id: str) -> Row:
        """Authorize a request, and return the result of one more Monte Carlo simulation of a plan.

        Raises:
            Refused: as in `list_rows`, or 409 if the plan is not calculated.
        """
        self.admit(request)
        self._check_rate("emoney_monte_carlo", MONTE_CARLO_AN_HOUR, 3600)
        read_query(request)
        self._find(client_id, plan_id)
        rows = self.records.read("projections", client_id, planId=plan_id)
        if not rows or self.faults.take(request.url.path, "not_calculated"):
            raise Refused(409, {"message": "plan may not be calculated yet"})
        with self._lock:
            self._simulations[plan_id] += 1
            draw = random.Random(f"{self.seed}:simulation:{plan_id}:{self._simulations[plan_id]}")
        return distort(self.faults, request.url.path, [shake(rows[0], draw)])[0]

    def _find(self, client_id: str, plan_id: str) -> None:
        if not self.records.has(client_id):
            raise _not_found("client")
        if plan_id and not self.records.read("plans", client_id, planId=plan_id):
            raise _not_found("plan")


def _draw(world: World) -> Source:
    writer = RowWriter(world)
    return GeneratedRecords(writer.numbers, {table: getattr(writer, f"write_{table}") for table in TABLES})


def _read_count(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,8}", text):
        raise Refused(400, {"message": f"{text!r} is not a number from 1"})
    return int(text)


def _not_found(name: str) -> Refused:
    return Refused(404, {"message": f"{name} not found"})


def edit(world: World, kind: str, values: Mapping[str, Any]) -> Edit:
    """Store a planner's change of a record. Return the stored edit (the last one, if there are several).

    Args:
        world: The firm.
        kind: The kind of edit, one of:

            - `set_fields`: table, id, set.
            - `delete`: table, id.
            - `delete_client`: client_id.
            - `change_plan`: plan_id, and any of `name`, `amounts` (dollars per year by expenseId) and `probability` (from 0 to
              1). It also sets the plan's `updatedDate`.

        values: The values of the kind.

    Raises:
        KeyError, ValueError: the edit is unknown, or a value is missing.
    """
    if kind == "delete_client":
        return store_edit(world, VENDOR, TABLES, "delete", {"table": "clients", "id": values["client_id"]})
    if kind != "change_plan":
        return store_edit(world, VENDOR, TABLES, kind, values)
    plan = {"updatedDate": write_moment(world.clock.now())} | ({"name": values["name"]} if "name" in values else {})
    row_edits = [("expenses", id_, {"amount": amount}) for id_, amount in values.get("amounts", {}).items()]
    if "probability" in values:
        row_edits.append(("projections", values["plan_id"], {"probabilityOfSuccess": values["probability"]}))
    for table, id_, changed in [*row_edits, ("plans", values["plan_id"], plan)]:
        stored = store_edit(world, VENDOR, TABLES, "set_fields", {"table": table, "id": id_, "set": changed})
    return stored


def list_true_matches(world: World) -> list[tuple[str, str]]:
    """Return the correct matches, as pairs of a key here and a key in the firm.

    A client matches a household and its first person, a spouse the second person, and an account an account of the firm.
    """
    book, seed, pairs = world.open_book(), world.firm.seed, list[tuple[str, str]]()
    for client_id, number in RowWriter(world).numbers.items():
        house = book.households[number]
        pairs.append((f"clients:{client_id}", f"household:{house.id}"))
        for place, table in zip(range(len(house.people)), ("clients", "spouses"), strict=False):
            pairs.append((f"{table}:{client_id}", write_person_key(house, place)))
        for holding in draw_holdings(seed, VENDOR, house, book, world.closed_through):
            if holding.account:
                id_ = write_guid(seed, "account", house.id, holding.slot)
                pairs.append((f"accounts:{id_}", f"account:{holding.account.id}"))
    return pairs
