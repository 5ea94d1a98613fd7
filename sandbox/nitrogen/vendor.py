"""The simulated vendor Nitrogen."""

import functools

import orjson

from sandbox.firm.records import list_needed
from sandbox.firm.world import World
from sandbox.nitrogen import app
from sandbox.nitrogen.rows import TABLES
from sandbox.vendor import Running, Setting, SimulatedVendor


def _start(setting: Setting) -> Running:
    created = app.create_app(setting.world, setting.faults, setting.calls, setting.clock, setting.data)
    return Running(created, functools.partial(app.edit, setting.world))


def _connect(world: World, url: str) -> dict[str, str]:
    tokens = {str(advisor): token for advisor, token in app.list_refresh_tokens(world.firm).items()}
    return {
        "host": f"{url}/nitrogen/ap/v1",
        "token_url": f"{url}/nitrogen/ap/v1/oauthpro/token",
        "client_id": app.CLIENT_ID,
        "client_secret": app.CLIENT_SECRET,
        "grants": orjson.dumps(tokens).decode(),
    }


NITROGEN = SimulatedVendor(
    "nitrogen",
    _start,
    _connect,
    list_needed(TABLES) | {"clients": ("household", "id", "advisor_user_id")},
    list_true_matches=app.list_true_matches,
)
