"""The simulated vendor Adobe Acrobat Sign."""

from sandbox.adobe_sign import app
from sandbox.firm.world import World
from sandbox.vendor import Running, Setting, SimulatedVendor


def _start(setting: Setting) -> Running:
    account = app.Account(setting.world, setting.faults, setting.calls, setting.data)
    return Running(app.create_app(account), account.edit, app.create_admin_router(account))


def _connect(world: World, url: str) -> dict[str, str]:
    return {
        "host": f"{url}/adobe_sign/api/rest/v6",
        "token_url": f"{url}/adobe_sign/oauth/v2/refresh",
        "client_id": app.CLIENT_ID,
        "client_secret": app.CLIENT_SECRET,
        "refresh_token": app.REFRESH_TOKEN,
    }


_OWN_DATA = {
    "users": ("id", "email", "isAccountAdmin"),
    "agreements": ("id", "name", "status", "createdDate", "senderEmail", "participantSetsInfo"),
    "library_documents": ("id", "sharingMode", "creatorEmail"),
}
ADOBE_SIGN = SimulatedVendor(
    "adobe_sign",
    _start,
    _connect,
    _OWN_DATA,
    served_as={"agreements": "agreement_details"},
    list_true_matches=app.list_true_matches,
)
