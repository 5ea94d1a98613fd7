"""The sandbox as one process on the loopback: every vendor and `/_sandbox` on one port, the CRM on its own port.

python -m sandbox.app --port 0 --org-port 0 --households 200 --seed 7 --state DIR [--data DIR] [--clock-rate N]

The CRM's org has its own origin, like a real org, because CRM clients append paths to the origin only. The CRM's admin routes
are on the sandbox's port, under `/salesforce/_admin`.
"""

import argparse
import contextlib
import functools
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from sandbox import admin, own_data, salesforce
from sandbox.firm.world import World
from sandbox.full_org import routes as full_org
from sandbox.salesforce.schema import SHAPES
from sandbox.server.calls import Calls
from sandbox.server.clock import Clock
from sandbox.server.faults import Faults
from sandbox.server.front import ByPort, Front
from sandbox.vendor import Setting
from sandbox.vendors import VENDORS


def create_app(
    state: Path,
    *,
    org_port: int,
    households: int = 200,
    seed: int = 7,
    first: date | None = None,
    data: Path | None = None,
    clock: Clock | None = None,
    pace: float = 1.0,
    shape: str | None = None,
) -> ASGIApp:
    """Return the whole sandbox as one ASGI application. The server must listen on two ports.

    Args:
        state: Folder with the firm, its edits and the CRM's records.
        org_port: Port of the CRM's org. Requests on any other port go to the vendors and the control routes.
        households: Size of the synthetic firm.
        seed: Seed of the synthetic firm.
        first: First trading day of the firm's history; by default 80 trading days before the first start.
        data: Folder of your own data. A vendor with a subfolder there serves its files; all others serve the firm.
        clock: The sandbox's time.
        pace: Divisor of the vendors' time limits: at 10, a limit per 60 seconds becomes one per 6 seconds.
        shape: What the CRM's org is, one of `SHAPES`; None keeps it as it is.

    Raises:
        ValueError: `state` holds another firm, or an org of another shape, or a line of `data` cannot be read.
    """
    state.mkdir(parents=True, exist_ok=True)
    clock = clock or Clock()
    faults, calls = Faults(), Calls(clock, pace)
    world = World(state, clock, seed, households, first)
    folders = {vendor: data / vendor for vendor in own_data.count_rows(data)} if data else {}
    org = salesforce.create_app(state, faults, clock, shape)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=functools.partial(_run_lifespan, org))
    running = {
        vendor.name: vendor.start(Setting(world, faults, calls, clock, pace, folders.get(vendor.name)))
        for vendor in VENDORS
    }
    for each in running.values():
        app.include_router(each.routes)
    app.include_router(full_org.create_router(org.state.org, world))

    def describe_org() -> dict[str, str]:
        return {"pubsub": str(org.state.pubsub.url), "shape": org.state.org.shape}

    app.include_router(admin.create_router(world, faults, calls, clock, running, org_port, describe_org))
    for name, each in running.items():
        app.mount(f"/{name}", each.app)
    app.mount("/salesforce", org.state.admin)
    return ByPort(Front(app, faults, calls), {org_port: Front(org, faults, calls, "/salesforce")})


@contextlib.asynccontextmanager
async def _run_lifespan(org: FastAPI, app: FastAPI) -> AsyncIterator[None]:
    """Start and stop the org and the mounted applications with the server. Mounting alone does not run their lifespan."""
    mounted = [each for route in app.routes if isinstance(each := getattr(route, "app", None), FastAPI)]
    async with contextlib.AsyncExitStack() as stack:
        for each in (org, *mounted):
            await stack.enter_async_context(each.router.lifespan_context(each))
        yield


def listen(port: int = 0) -> socket.socket:
    """Return a socket bound to a port of the loopback address. Port 0 picks a free port."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener


class Server(uvicorn.Server):
    """A server that prints one line with its address as soon as it listens."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the address."""
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()
            sys.stdout.write(f"sandbox ready http://{host}:{port}\n")
            sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> None:
    """Run the sandbox until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="sandbox.app", description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument("--org-port", type=int, default=0, help="port of the CRM's org; 0 picks a free one")
    parser.add_argument("--households", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--first", type=date.fromisoformat, help="first session of the firm's history")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder of your own data, served instead of the synthetic firm")
    parser.add_argument("--clock-rate", type=float, default=1.0)
    parser.add_argument("--pace", type=float, default=1.0, help="how many times faster rate limits pass")
    parser.add_argument("--shape", choices=SHAPES, help="what the CRM's org is")
    parser.add_argument("--now", type=datetime.fromisoformat, help="time, with offset, at which the clock starts")
    args = parser.parse_args(argv)
    clock = Clock()
    clock.set(args.now, args.clock_rate)
    listeners = [listen(args.port), listen(args.org_port)]
    app = create_app(
        args.state,
        org_port=listeners[1].getsockname()[1],
        households=args.households,
        seed=args.seed,
        first=args.first,
        data=args.data,
        clock=clock,
        pace=args.pace,
        shape=args.shape,
    )
    Server(uvicorn.Config(app, log_level="warning", access_log=False, ws="none", timeout_keep_alive=60)).run(listeners)


if __name__ == "__main__":
    main()
