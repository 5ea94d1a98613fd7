"""The simulated vendor eMoney."""

import functools

from sandbox.emoney import app
from sandbox.emoney.rows import TABLES
from sandbox.firm.records import list_needed
from sandbox.firm.world import World
from sandbox.vendor import Running, Setting, SimulatedVendor


def _start(setting: Setting) -> Running:
    created = app.create_app(setting.world, setting.faults, setting.calls, setting.clock, setting.data)
    return Running(created, functools.partial(app.edit, setting.world))


def _connect(world: World, url: str) -> dict[str, str]:
    credentials = app.read_credentials(world.path.parent)
    return {
        "host": f"{url}/emoney/public/v1",
        "token_url": f"{url}/emoney/connect/token",
        "client_id": credentials.client_id,
        "private_key": credentials.private_key,
        "api_key": credentials.api_key,
    }


EMONEY = SimulatedVendor(
    "emoney",
    _start,
    _connect,
    list_needed(TABLES),
    served_as={"projections": "monte_carlo"},
    list_true_matches=app.list_true_matches,
)
