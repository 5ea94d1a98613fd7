"""The simulated vendor DocuSign."""

from sandbox.docusign import app
from sandbox.docusign.login import INTEGRATION_KEY, read_private_key
from sandbox.docusign.rows import ACCOUNT_ID, USER_ID
from sandbox.docusign.store import read_connect_keys
from sandbox.firm.world import World
from sandbox.vendor import Running, Setting, SimulatedVendor


def _start(setting: Setting) -> Running:
    office = app.Office(setting.world, setting.clock, setting.pace, setting.data)
    return Running(app.create_app(office, setting.faults, setting.calls), office.edit, app.create_admin(office))


def _connect(world: World, url: str) -> dict[str, str]:
    return {
        "host": f"{url}/docusign",
        "token_url": f"{url}/docusign/oauth/token",
        "auth_host": url.partition("://")[2],
        "integration_key": INTEGRATION_KEY,
        "user_id": USER_ID,
        "account_id": ACCOUNT_ID,
        "private_key": read_private_key(world.path.parent),
        "connect_hmac_key": next(iter(read_connect_keys(world.path.parent)), ""),
    }


_OWN_DATA = {"envelopes": ("envelopeId", "status"), "templates": ("templateId", "name")}
DOCUSIGN = SimulatedVendor("docusign", _start, _connect, _OWN_DATA)
