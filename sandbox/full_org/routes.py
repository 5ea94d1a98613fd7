"""Control routes of a full org, for tests and the demo: fill it, and return the truth about its records."""

from collections.abc import Iterator

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import StreamingResponse

from sandbox.firm.world import World
from sandbox.full_org.fill import fill
from sandbox.full_org.truth import Truth
from sandbox.salesforce.org import Org
from sandbox.server.request import reply
from sandbox.vendors import VENDORS


def create_router(org: Org, world: World) -> APIRouter:
    """Return the routes under `/_sandbox/salesforce`."""
    router = APIRouter(prefix="/_sandbox/salesforce")

    @router.post("/full_org")
    def fill_org() -> Response:
        """Fill the org; 409 if it already has other records, or another shape. An org that was filled before does not change."""
        try:
            fill(org, world.firm, world.closed_through)
        except ValueError as error:
            raise HTTPException(409, str(error)) from error
        return read_state()

    @router.get("/full_org")
    def read_state() -> Response:
        """Return whether the org was filled."""
        return reply({"is_full": bool(Truth(org.store))})

    @router.get("/truth")
    def read_truth() -> StreamingResponse:
        """Return the truth about each record, one JSON object per line (`truth.Fact`); nothing if the org was not filled."""
        lines: Iterator[str] = (f"{line}\n" for line in Truth(org.store).read_lines())
        return StreamingResponse(lines, media_type="application/x-ndjson")

    @router.get("/vendor_keys")
    def read_vendor_keys() -> Response:
        """Return the identity of each vendor's records, such as `{"orion": {"clients:1001": ["household:1001"]}}`."""
        return reply(list_vendor_keys(world))

    return router


def list_vendor_keys(world: World) -> dict[str, dict[str, list[str]]]:
    """Return the identities of the vendors' records, by vendor and record; a record of a couple has two people's."""
    keys: dict[str, dict[str, list[str]]] = {}
    for vendor in VENDORS:
        by_record = keys.setdefault(vendor.name, {})
        for record, identity in vendor.list_true_matches(world):
            by_record.setdefault(record, []).append(identity)
    return keys
