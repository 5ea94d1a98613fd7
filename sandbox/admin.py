"""What a test or the demo does to the sandbox itself, under `/_sandbox`. No vendor has anything like it."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import StreamingResponse

from sandbox.connections import hand_out
from sandbox.firm.edits import Edit, parse
from sandbox.firm.world import World
from sandbox.orion.app import Orion
from sandbox.orion.dataset import ORION_TABLES, Folder, export_lines
from sandbox.orion.render import Rendered
from sandbox.server.calls import Calls
from sandbox.server.clock import Clock
from sandbox.server.faults import Fault, Faults
from sandbox.server.rows import dump

Editor = Callable[[str, dict[str, Any]], Edit]
"""Changes what people keep in one vendor's system: takes the kind of the edit and its values, returns it as kept."""

_FAULT_WORDS = ("route", "kind", "seed", "times", "after", "share")


def create_router(
    world: World,
    orion: Orion,
    faults: Faults,
    calls: Calls,
    clock: Clock,
    editors: Mapping[str, Editor],
    org_port: int,
    find_pubsub: Callable[[], str],
) -> APIRouter:
    """Return the admin routes; `editors` are those of the vendors beside Orion.

    The CRM is at the port `org_port`, its events where `find_pubsub` says.
    """
    router = APIRouter(prefix="/_sandbox")
    _add_connections(router, world, org_port, find_pubsub)
    _add_faults(router, faults)
    _add_calls(router, calls)
    _add_clock(router, clock)
    _add_orion(router, world, orion)
    _add_editors(router, editors)
    return router


def _add_faults(router: APIRouter, faults: Faults) -> None:
    @router.get("/faults")
    def list_faults() -> Response:
        return _reply(faults.report())

    @router.post("/faults")
    async def add_fault(request: Request) -> Response:
        given = await _read(request)
        known = {word: given.pop(word) for word in _FAULT_WORDS if word in given}
        try:
            return _reply({"id": faults.add(Fault(**known, options=given))})
        except (TypeError, ValueError) as error:
            raise HTTPException(400, str(error)) from error

    @router.delete("/faults")
    def clear_faults() -> Response:
        faults.clear()
        return _reply({})

    @router.delete("/faults/{fault_id}")
    def remove_fault(fault_id: int) -> Response:
        try:
            faults.remove(fault_id)
        except KeyError as error:
            raise HTTPException(404, f"there is no fault {fault_id}") from error
        return _reply({})


def _add_calls(router: APIRouter, calls: Calls) -> None:
    @router.get("/calls")
    def report_calls() -> Response:
        return _reply(calls.report())

    @router.delete("/calls")
    def clear_calls() -> Response:
        calls.clear()
        return _reply({})


def _add_clock(router: APIRouter, clock: Clock) -> None:
    @router.get("/clock")
    def read_clock() -> Response:
        return _reply({"now": clock.now().isoformat(), "rate": clock.rate})

    @router.post("/clock")
    async def set_clock(request: Request) -> Response:
        given = await _read(request)
        try:
            now = datetime.fromisoformat(given["now"]) if given.get("now") else None
            rate = float(given["rate"]) if given.get("rate") is not None else None
            clock.set(now, rate, float(given.get("advance_seconds", 0)))
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        return read_clock()


def _add_orion(router: APIRouter, world: World, orion: Orion) -> None:
    target = orion.source if isinstance(orion.source, Folder) else world

    @router.get("/orion/closed_through")
    def read_closed_through() -> Response:
        return _reply({"date": orion.source.closed_through.isoformat()})

    @router.post("/orion/closed_through")
    async def close_through(request: Request) -> Response:
        given = (await _read(request)).get("date")
        try:
            target.close_through(date.fromisoformat(given) if given else None)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        return read_closed_through()

    @router.post("/orion/rendered")
    async def serve_rendered(request: Request) -> Response:
        folder = (await _read(request)).get("folder")
        try:
            orion.rendered = Rendered(Path(folder)) if folder else None
        except FileNotFoundError as error:
            raise HTTPException(400, f"no rendered pages in {folder}") from error
        return _reply({"pages": len(orion.rendered.skips) if orion.rendered else 0})

    @router.post("/orion/{kind}")
    async def edit(kind: str, request: Request) -> Response:
        try:
            return _reply(target.edit(kind, await _read(request) | {"vendor": "orion"}))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise HTTPException(400, f"{kind}: {type(error).__name__} {error}") from error

    @router.get("/export")
    def export(request: Request, vendor: str = "orion", table: str = "assets") -> Response:
        if vendor != "orion" or table not in ORION_TABLES:
            raise HTTPException(404, f"{vendor} has no table {table}")
        last = orion.source.closed_through
        first, end = (date.fromisoformat(request.query_params.get(k, last.isoformat())) for k in ("from", "to"))
        lines: Iterable[bytes] = export_lines(orion.source, table, first, end)
        return StreamingResponse(lines, media_type="application/x-ndjson")


def _add_connections(router: APIRouter, world: World, org_port: int, find_pubsub: Callable[[], str]) -> None:
    @router.get("/connections")
    def connections(request: Request) -> Response:
        org_url = str(request.url.replace(port=org_port, path="", query=""))
        return _reply(hand_out(world, str(request.base_url).rstrip("/"), org_url, find_pubsub()))


def _add_editors(router: APIRouter, editors: Mapping[str, Editor]) -> None:
    @router.post("/{vendor}/{kind}")
    async def edit(vendor: str, kind: str, request: Request) -> Response:
        if vendor not in editors:
            raise HTTPException(404, f"nothing can be edited at {vendor!r}")
        try:
            return _reply(editors[vendor](kind, await _read(request)))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise HTTPException(400, f"{kind}: {type(error).__name__} {error}") from error


async def _read(request: Request) -> dict[str, Any]:
    body = await request.body()
    try:
        return parse(body) if body else {}
    except ValueError as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from error


def _reply(value: Any) -> Response:
    return Response(dump(value), media_type="application/json")
