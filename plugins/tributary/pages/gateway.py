"""Webhooks and the API for programs inside Airflow's API server, for a firm that runs on one machine: `/webhooks/...`, `/api/v1/...`.

No log-in is asked for, for a vendor has none: each call proves by its signature, or by what else the sender's declaration says,
who sent it. A sender's secrets are in the connection that it declares: password: each that is live, separated by blanks; extra:
networks (where it calls from, separated by blanks). A sender without a connection is answered 404.

The connection `tributary_api` says whose tokens the API takes: extra: issuer, audience, jwks_url, and token_url and url, which its
OpenAPI document tells. Without it, only API keys are taken.
"""

from __future__ import annotations

import time
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk.exceptions import AirflowNotFoundException

from include.gateway.api.app import create_app as create_api
from include.gateway.api.callers import Issuer
from include.gateway.api.settings import Settings
from include.gateway.webhooks.app import create_app
from include.gateway.webhooks.authenticity import Keyring
from include.gateway.webhooks.senders import SENDERS, Sender

if TYPE_CHECKING:
    from sqlalchemy import Engine

FRESH_S = 30
"""How old what we know of a sender may be: a storm must not ask the secrets' store for each call."""


@cache
def _database() -> Engine:
    from tributary import connections

    return connections.database()


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


def _settings() -> Settings:
    return _read_settings(int(time.monotonic() // FRESH_S))


@lru_cache(maxsize=2)
def _read_settings(_: int) -> Settings:
    from tributary import connections

    try:
        known = connections.connection("tributary_api")
    except AirflowNotFoundException:
        return Settings()
    named = ("issuer", "audience", "jwks_url", "token_url", "url")
    return Settings(**{name: known.extra[name] for name in named if known.extra.get(name)})


@lru_cache(maxsize=2)
def _issuer(settings: Settings) -> Issuer:
    return Issuer(settings)


class Gateway(AirflowPlugin):
    """Makes Airflow load all this."""

    name = "gateway"
    # Airflow takes plain class attributes.
    fastapi_apps = [  # noqa: RUF012
        {"app": create_app(_database, SENDERS, _keyring), "url_prefix": "/webhooks", "name": "Webhooks"},
        {
            "app": create_api(_database, _settings, lambda: _issuer(_settings())),
            "url_prefix": "/api/v1",
            "name": "API for programs",
        },
    ]
