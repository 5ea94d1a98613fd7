"""Control routes of the sandbox under `/_sandbox`, for tests and the demo. Real vendors have no such routes."""

from collections.abc import Callable, Mapping
from datetime import datetime

from fastapi import APIRouter, HTTPException, Request, Response

from sandbox.connections import list_connections
from sandbox.firm.world import World
from sandbox.server.calls import Calls
from sandbox.server.clock import Clock
from sandbox.server.faults import Fault, Faults
from sandbox.server.request import read_body, reply
from sandbox.vendor import Running

_FAULT_FIELDS = ("route", "kind", "seed", "times", "after", "share")


def create_router(
    world: World,
    faults: Faults,
    calls: Calls,
    clock: Clock,
    running: Mapping[str, Running],
    org_port: int,
    describe_org: Callable[[], dict[str, str]],
) -> APIRouter:
    """Return the control routes.

    Args:
        world: The synthetic firm.
        faults: The active faults.
        calls: The call counts.
        clock: The sandbox's time.
        running: The started vendors, by name.
        org_port: Port of the CRM.
        describe_org: Returns the extra fields of the connection to the CRM.
    """
    router = APIRouter(prefix="/_sandbox")
    _add_connections(router, world, org_port, describe_org)
    _add_faults(router, faults)
    _add_calls(router, calls)
    _add_clock(router, clock)
    _add_edits(router, running)
    return router


def _add_faults(router: APIRouter, faults: Faults) -> None:
    @router.get("/faults")
    def list_faults() -> Response:
        return reply(faults.report())

    @router.post("/faults")
    async def add_fault(request: Request) -> Response:
        body = await read_body(request)
        settings = {name: body.pop(name) for name in _FAULT_FIELDS if name in body}
        try:
            return reply({"id": faults.add(Fault(**settings, options=body))})
        except (TypeError, ValueError) as error:
            raise HTTPException(400, str(error)) from error

    @router.delete("/faults")
    def clear_faults() -> Response:
        faults.clear()
        return reply({})

    @router.delete("/faults/{fault_id}")
    def remove_fault(fault_id: int) -> Response:
        try:
            faults.remove(fault_id)
        except KeyError as error:
            raise HTTPException(404, f"there is no fault {fault_id}") from error
        return reply({})


def _add_calls(router: APIRouter, calls: Calls) -> None:
    @router.get("/calls")
    def report_calls() -> Response:
        return reply(calls.report())

    @router.delete("/calls")
    def clear_calls() -> Response:
        calls.clear()
        return reply({})


def _add_clock(router: APIRouter, clock: Clock) -> None:
    @router.get("/clock")
    def read_clock() -> Response:
        return reply({"now": clock.now().isoformat(), "rate": clock.rate})

    @router.post("/clock")
    async def set_clock(request: Request) -> Response:
        body = await read_body(request)
        try:
            now = datetime.fromisoformat(body["now"]) if body.get("now") else None
            rate = float(body["rate"]) if body.get("rate") is not None else None
            clock.set(now, rate, float(body.get("advance_seconds", 0)))
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        return read_clock()


def _add_connections(
    router: APIRouter, world: World, org_port: int, describe_org: Callable[[], dict[str, str]]
) -> None:
    @router.get("/connections")
    def connections(request: Request) -> Response:
        org_url = str(request.url.replace(port=org_port, path="", query=""))
        return reply(list_connections(world, str(request.base_url).rstrip("/"), org_url, describe_org()))


def _add_edits(router: APIRouter, running: Mapping[str, Running]) -> None:
    @router.post("/{vendor}/{kind}")
    async def edit(vendor: str, kind: str, request: Request) -> Response:
        if vendor not in running:
            raise HTTPException(404, f"nothing can be edited at {vendor!r}")
        try:
            return reply(running[vendor].edit(kind, await read_body(request)))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise HTTPException(400, f"{kind}: {type(error).__name__} {error}") from error
