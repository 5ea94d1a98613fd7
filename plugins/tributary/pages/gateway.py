"""Serve webhooks (`/webhooks/...`) and the API for programs (`/api/v1/...`) inside Airflow's API server, for a firm with one machine.

**Webhooks** need no Airflow login. Each request is authenticated as the sender's declaration requires, usually by its signature. Each
sender declares a connection with its secrets:

- password: the valid secrets, separated by spaces;
- extra `networks`: the networks that the sender uses, separated by spaces.

A request to a sender without a connection gets 404.

**The API** accepts API keys, and tokens if there is a connection `tributary_api`. Its extra contains `issuer`, `audience` and `jwks_url`, and
`token_url` and `url` for the OpenAPI document.

Webhooks use the connection `tributary_db_gateway`, and the API `tributary_db_api`, each with its own database role. If a connection is
missing, `tributary_db` is used instead.
"""

from __future__ import annotations

import time
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk.exceptions import AirflowNotFoundException

from include.contract.webhook import Sender
from include.gateway.api.app import create_app as create_api
from include.gateway.api.callers import Issuer
from include.gateway.api.settings import Settings
from include.gateway.webhooks.app import create_app
from include.gateway.webhooks.authenticity import Keyring
from include.gateway.webhooks.senders import SENDERS
from include.keys.inbox import ReceivingKey

if TYPE_CHECKING:
    from sqlalchemy import Engine

FRESH_S = 30
"""Seconds for which secrets and settings are cached, so that a burst of requests does not query the secrets backend each time."""


@cache
def _database(conn_id: str) -> Engine:
    from tributary import connections

    return connections.database(conn_id if connections.is_connected(conn_id) else "tributary_db")


def _keyring(sender: Sender) -> Keyring:
    return _read(sender.connection, int(time.monotonic() // FRESH_S))


@lru_cache(maxsize=2 * len(SENDERS))
def _read(connection: str, _: int) -> Keyring:
    from tributary import connections

    try:
        known = connections.connection(connection)
    except AirflowNotFoundException:
        return Keyring()
    return Keyring.of(known.password, known.extra.get("networks", ""))


def _receiving_key() -> ReceivingKey:
    return _read_receiving_key(int(time.monotonic() // FRESH_S))


@lru_cache(maxsize=2)
def _read_receiving_key(_: int) -> ReceivingKey:
    from tributary import connections

    return connections.receiving_key()


def _settings() -> Settings:
    return _read_settings(int(time.monotonic() // FRESH_S))


@lru_cache(maxsize=2)
def _read_settings(_: int) -> Settings:
    from tributary import connections

    try:
        known = connections.connection("tributary_api")
    except AirflowNotFoundException:
        return Settings()
    names = ("issuer", "audience", "jwks_url", "token_url", "url")
    return Settings(**{name: known.extra[name] for name in names if known.extra.get(name)})


@lru_cache(maxsize=2)
def _issuer(settings: Settings) -> Issuer:
    return Issuer(settings)


class Gateway(AirflowPlugin):
    """The plugin that Airflow loads."""

    name = "gateway"
    # Airflow requires this name as a class attribute.
    fastapi_apps = [  # noqa: RUF012
        {
            "app": create_app(lambda: _database("tributary_db_gateway"), SENDERS, _keyring, _receiving_key),
            "url_prefix": "/webhooks",
            "name": "Webhooks",
        },
        {
            "app": create_api(
                lambda: _database("tributary_db_api"), _settings, lambda: _issuer(_settings()), _receiving_key
            ),
            "url_prefix": "/api/v1",
            "name": "API for programs",
        },
    ]
