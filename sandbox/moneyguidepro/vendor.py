"""The simulated vendor MoneyGuidePro."""

import functools

from sandbox.firm.records import list_needed
from sandbox.firm.world import World
from sandbox.moneyguidepro import app
from sandbox.moneyguidepro.rows import TABLES
from sandbox.vendor import Running, Setting, SimulatedVendor


def _start(setting: Setting) -> Running:
    created = app.create_app(setting.world, setting.faults, setting.calls, setting.clock, setting.data)
    return Running(created, functools.partial(app.edit, setting.world))


def _connect(world: World, url: str) -> dict[str, str]:
    host = f"{url}/moneyguidepro/api"
    return {"host": host, "login": app.USER, "password": app.PASSWORD, "institution_id": app.INSTITUTION_ID}


MONEYGUIDEPRO = SimulatedVendor(
    "moneyguidepro", _start, _connect, list_needed(TABLES), list_true_matches=app.list_true_matches
)
