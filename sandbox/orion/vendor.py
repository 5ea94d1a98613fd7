"""The simulated vendor Orion, with its control routes: the last closed day, pre-rendered pages, and the export."""

import operator
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from sandbox.firm.edits import Edit
from sandbox.firm.households import TRUST
from sandbox.firm.likeness import write_entity_key, write_person_key
from sandbox.firm.world import World
from sandbox.orion.app import PARTNERS, PASSWORD, USER, Orion, create_app
from sandbox.orion.books import OrionBooks
from sandbox.orion.dataset import ORION_TABLES, Folder, export_lines
from sandbox.orion.query import read_moment
from sandbox.orion.render import Rendered
from sandbox.server.request import read_body, reply
from sandbox.vendor import Form, Running, Setting, SimulatedVendor


def _start(setting: Setting) -> Running:
    folder = Folder(setting.data, setting.world.edits, setting.clock) if setting.data else None
    orion = Orion(folder or OrionBooks(setting.world), setting.faults, setting.clock)
    books = folder or setting.world

    def edit(kind: str, values: dict[str, Any]) -> Edit:
        return books.edit(kind, values | {"vendor": "orion"})

    return Running(create_app(orion), edit, _create_routes(orion, books))


def _create_routes(orion: Orion, books: Folder | World) -> APIRouter:
    router = APIRouter(prefix="/_sandbox")

    @router.get("/orion/closed_through")
    def read_closed_through() -> Response:
        return reply({"date": orion.source.closed_through.isoformat()})

    @router.post("/orion/closed_through")
    async def close_through(request: Request) -> Response:
        day = (await read_body(request)).get("date")
        try:
            books.close_through(date.fromisoformat(day) if day else None)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        return read_closed_through()

    @router.post("/orion/rendered")
    async def serve_rendered(request: Request) -> Response:
        folder = (await read_body(request)).get("folder")
        try:
            orion.rendered = Rendered(Path(folder)) if folder else None
        except FileNotFoundError as error:
            raise HTTPException(400, f"no rendered pages in {folder}") from error
        return reply({"pages": len(orion.rendered.skips) if orion.rendered else 0})

    @router.get("/export")
    def export(request: Request, vendor: str = "orion", table: str = "assets") -> Response:
        if vendor != "orion" or table not in ORION_TABLES:
            raise HTTPException(404, f"{vendor} has no table {table}")
        last = orion.source.closed_through
        first, end = (date.fromisoformat(request.query_params.get(k, last.isoformat())) for k in ("from", "to"))
        lines: Iterable[bytes] = export_lines(orion.source, table, first, end)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    return router


def _connect(world: World, url: str) -> dict[str, str]:
    partner = PARTNERS[1]
    return {
        "host": f"{url}/orion/api/v1",
        "login": USER,
        "password": PASSWORD,
        "client_id": partner.client_id,
        "client_secret": partner.client_secret,
    }


def _list_true_matches(world: World) -> list[tuple[str, str]]:
    """Return the correct matches. Orion has the firm's own keys; a registration is its first owner, a trust or another organization."""
    book = world.open_book()
    pairs = [(f"clients:{house.id}", f"household:{house.id}") for house in book.households]
    for each in book.registrations.values():
        is_entity = each.kind is TRUST or each.owner is None
        place = 0 if is_entity else each.household.people.index(each.owners[0])
        key = write_entity_key(each) if is_entity else write_person_key(each.household, place)
        pairs.append((f"registrations:{each.id}", key))
    return pairs + [(f"accounts:{id_}", f"account:{id_}") for id_ in book.accounts]


_MOMENT = Form(read_moment, "a time, such as 2026-11-20T14:30:00-05:00")
ORION = SimulatedVendor(
    "orion",
    _start,
    _connect,
    dict.fromkeys(ORION_TABLES, ("id",)) | {"additional_accounts": ("clientId", "accountId")},
    read={
        "id": Form(operator.index, "a whole number, such as 1001"),
        "asOfDate": Form(lambda text: date.fromisoformat(text[:10]), "a date, such as 2026-11-20"),
        "createdDate": _MOMENT,
        "editedDate": _MOMENT,
    },
    day="asOfDate",
    list_true_matches=_list_true_matches,
)
