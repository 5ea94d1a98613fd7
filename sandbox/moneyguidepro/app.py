"""MoneyGuidePro's API, with the shapes that a partner's typed model of it has.

One fault in addition to the common ones: `refresh_failed`. The response is 200, but reports that positions could not be refreshed. The
option `status` is the reported status, by default "Failure".
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response

from sandbox.firm.edits import Edit
from sandbox.firm.likeness import write_person_key
from sandbox.firm.outside import draw_holdings
from sandbox.firm.records import Files, GeneratedRecords, Records, Row, store_edit
from sandbox.firm.world import World
from sandbox.moneyguidepro.rows import FIRST_PARTICIPANT, TABLES, VENDOR, RowWriter, write_asset_key
from sandbox.server.calls import Calls
from sandbox.server.clock import Clock
from sandbox.server.faults import Faults, distort
from sandbox.server.response import Refused, create_vendor_app, read_basic, read_query, reply, write_moment

USER, PASSWORD, INSTITUTION_ID = "tributary", "sandbox-only", "4711"  # valid for this sandbox only
_REFRESH = "refreshPositionsResponse"
_API = "/api/Households"


def create_app(world: World, faults: Faults, calls: Calls, clock: Clock, data: Path | None = None) -> FastAPI:
    """Return the application to mount at `/moneyguidepro`.

    Args:
        world: The firm, with its edits.
        faults: The active faults.
        calls: Unused; no rate limit is known.
        clock: Unused; a login does not expire.
        data: Folder of your own data, served instead of the firm: `<table>.jsonl` for the tables in `moneyguidepro.rows.TABLES`.

    Raises:
        ValueError: a line of `data` cannot be read.
    """
    writer = RowWriter(world)
    generated = GeneratedRecords(writer.numbers, {table: getattr(writer, f"write_{table}") for table in TABLES})
    records = Records(world, VENDOR, TABLES, Files(data, TABLES) if data else generated)
    app = create_vendor_app()

    @app.get(_API)
    def list_households(request: Request) -> Response:
        _check(request)
        read_query(request)
        rows = [row for key in records.list_keys() for row in records.read("households", key)]
        return reply(distort(faults, request.url.path, rows))

    @app.get(_API + "/{household_id}/MonteCarloMeter")
    def read_meter(request: Request, household_id: str) -> Response:
        image = read_query(request, includeImage="false", imageWidth="150", imageHeight="75")["includeImage"]
        if image != "false":
            raise Refused(400, {"message": "this sandbox has no images; use includeImage=false"})
        return reply(_read_one(records, faults, request, "meters", household_id))

    @app.get(_API + "/{household_id}/PlanSummary")
    def read_summary(request: Request, household_id: str) -> Response:
        read_query(request)
        return reply(_read_one(records, faults, request, "plan_summaries", household_id))

    @app.get(_API + "/{household_id}/Networth")
    def read_networth(request: Request, household_id: str) -> Response:
        read_query(request)
        return reply(_read_one(records, faults, request, "networths", household_id))

    @app.get(_API + "/{household_id}/InsurancePolicies")
    def read_policies(request: Request, household_id: str) -> Response:
        read_query(request)
        return reply(_read_one(records, faults, request, "insurance_policies", household_id))

    @app.get(_API + "/{household_id}/Assets")
    def list_assets(request: Request, household_id: str) -> Response:
        read_query(request)
        rows = _read(records, request, "assets", household_id)
        return reply(distort(faults, request.url.path, rows))

    return app


def _check(request: Request) -> None:
    is_known = read_basic(request.headers) == (USER, PASSWORD)
    if not is_known or request.headers.get("institutionid") != INSTITUTION_ID:
        raise Refused(401)


def _read(records: Records, request: Request, table: str, household_id: str) -> list[Row]:
    _check(request)
    key = int(household_id) if household_id.isdecimal() else None
    if not records.has(key):
        raise Refused(404, {"message": "household not found"})
    return records.read(table, key)


def _read_one(records: Records, faults: Faults, request: Request, table: str, household_id: str) -> Row:
    rows = _read(records, request, table, household_id)
    if not rows:
        raise Refused(404, {"message": "not found"})
    row = rows[0]
    if _REFRESH in row and (fault := faults.take(request.url.path, "refresh_failed")):
        status = fault.options.get("status", "Failure")
        row[_REFRESH] = {"status": status, "messages": ["Positions could not be refreshed."]}
    return distort(faults, request.url.path, [row])[0]


def edit(world: World, kind: str, values: Mapping[str, Any]) -> Edit:
    """Store a planner's change of a record. Return the stored edit (the last one, if there are several).

    Args:
        world: The firm.
        kind: The kind of edit, one of:

            - `set_fields`: table, id, set.
            - `delete`: table, id.
            - `change_plan`: household_id, and probability (the meter's text or null). It also sets the household's
              `lastModified`.

        values: The values of the kind.

    Raises:
        KeyError, ValueError: the edit is unknown, or a value is missing.
    """
    if kind != "change_plan":
        return store_edit(world, VENDOR, TABLES, kind, values)
    meter = {"table": "meters", "id": values["household_id"], "set": {"probabilityOfSuccess": values["probability"]}}
    store_edit(world, VENDOR, TABLES, "set_fields", meter)
    dated = {"lastModified": write_moment(world.clock.now())}
    household = {"table": "households", "id": values["household_id"], "set": dated}
    return store_edit(world, VENDOR, TABLES, "set_fields", household)


def list_true_matches(world: World) -> list[tuple[str, str]]:
    """Return the correct matches, as pairs of a key here and a key in the firm.

    A household matches a household, a participant a person, and an asset an account of the firm.
    """
    book, pairs = world.open_book(), list[tuple[str, str]]()
    for household_id, number in RowWriter(world).numbers.items():
        house = book.households[number]
        pairs.append((f"households:{household_id}", f"household:{house.id}"))
        for place in range(len(house.people)):
            participant = FIRST_PARTICIPANT + number * 2 + place
            pairs.append((f"participants:{participant}", write_person_key(house, place)))
        for holding in draw_holdings(world.firm.seed, VENDOR, house, book, world.closed_through):
            if holding.account:
                pairs.append((f"assets:{write_asset_key(number, holding)}", f"account:{holding.account.id}"))
    return pairs
