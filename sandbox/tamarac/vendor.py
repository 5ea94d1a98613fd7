"""The simulated vendor Tamarac."""

import functools

from sandbox.firm.world import World
from sandbox.tamarac import app
from sandbox.tamarac.folder import read_day
from sandbox.tamarac.rows import IDS
from sandbox.vendor import Form, Running, Setting, SimulatedVendor


def _start(setting: Setting) -> Running:
    created = app.create_app(setting.world, setting.faults, setting.calls, setting.clock, setting.data)
    return Running(created, functools.partial(app.edit, setting.world))


def _connect(world: World, url: str) -> dict[str, str]:
    return {"host": f"{url}/tamarac/api", "login": app.USER, "password": app.PASSWORD}


TAMARAC = SimulatedVendor(
    "tamarac",
    _start,
    _connect,
    {name: (id_,) for name, id_ in IDS.items()}
    | {"holdings": ("As Of Date",), "transactions": ("Entry Date", "Trade Date")},
    list_true_matches=app.list_true_matches,
    read=dict.fromkeys(("As Of Date", "Entry Date", "Trade Date"), Form(read_day, "a date, such as 11/20/2026")),
    day="As Of Date",
    closes_at_night=True,
)
