"""What a firm would enter in its Airflow connections to speak to this sandbox. It opens nothing else."""

from typing import Any

import orjson

from sandbox.adobe_sign import login as adobe_sign_login
from sandbox.docusign import login as docusign_login
from sandbox.docusign import rows as docusign_rows
from sandbox.docusign import store
from sandbox.emoney import app as emoney
from sandbox.firm.world import World
from sandbox.moneyguidepro import app as moneyguidepro
from sandbox.nitrogen import app as nitrogen
from sandbox.orion import app as orion
from sandbox.tamarac import app as tamarac


def hand_out(world: World, url: str, org_url: str, pubsub: str) -> dict[str, dict[str, Any]]:
    """Return `{vendor: {"host", "login", "password", "extra"}}` of a sandbox that answers at `url`.

    The CRM is at `org_url` and among them without a login: its caller registers an app first. Its events are at `pubsub`.
    """
    partner, signed = orion.PARTNERS[1], emoney.hand_out_credentials(world.path.parent)
    tokens = {str(advisor): token for advisor, token in nitrogen.hand_out_refresh_tokens(world.firm).items()}
    return {
        "orion": _connection(
            f"{url}/orion/api/v1",
            orion.USER,
            orion.PASSWORD,
            client_id=partner.client_id,
            client_secret=partner.client_secret,
        ),
        "salesforce": _connection(org_url, pubsub=pubsub),
        "tamarac": _connection(f"{url}/tamarac/api", tamarac.USER, tamarac.PASSWORD),
        "emoney": _connection(
            f"{url}/emoney/public/v1",
            token_url=f"{url}/emoney/connect/token",
            client_id=signed.client_id,
            private_key=signed.private_key,
            api_key=signed.api_key,
        ),
        "moneyguidepro": _connection(
            f"{url}/moneyguidepro/api",
            moneyguidepro.USER,
            moneyguidepro.PASSWORD,
            institution_id=moneyguidepro.INSTITUTION_ID,
        ),
        "nitrogen": _connection(
            f"{url}/nitrogen/ap/v1",
            token_url=f"{url}/nitrogen/ap/v1/oauthpro/token",
            client_id=nitrogen.CLIENT_ID,
            client_secret=nitrogen.CLIENT_SECRET,
            grants=orjson.dumps(tokens).decode(),
        ),
        "adobe_sign": _connection(
            f"{url}/adobe_sign/api/rest/v6",
            token_url=f"{url}/adobe_sign/oauth/v2/refresh",
            client_id=adobe_sign_login.CLIENT_ID,
            client_secret=adobe_sign_login.CLIENT_SECRET,
            refresh_token=adobe_sign_login.REFRESH_TOKEN,
        ),
        "docusign": _connection(
            f"{url}/docusign",
            token_url=f"{url}/docusign/oauth/token",
            auth_host=url.partition("://")[2],
            integration_key=docusign_login.INTEGRATION_KEY,
            user_id=docusign_rows.USER_ID,
            account_id=docusign_rows.ACCOUNT_ID,
            private_key=docusign_login.hand_out_private_key(world.path.parent),
            connect_hmac_key=next(iter(store.read_connect_keys(world.path.parent)), ""),
        ),
    }


def _connection(host: str, login: str = "", password: str = "", **extra: str) -> dict[str, Any]:
    return {"host": host, "login": login, "password": password, "extra": extra}
