"""Run the gateway as its own process: `python -m include.gateway [--host 127.0.0.1] [--port 8090]`; see `include.gateway.settings`.

If the settings of `include.gateway.api.settings` are present, it also serves the API for programs, as a separate database role.

Behind a proxy that terminates TLS, set FORWARDED_ALLOW_IPS to the proxy's address. Otherwise every request appears to come from the
proxy's address, which breaks the network check, the refusal count and the limit of connections per address.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from include.errors import ConfigurationError
from include.gateway import log
from include.gateway.api import settings as api
from include.gateway.api.app import create_app as create_api
from include.gateway.api.callers import Issuer
from include.gateway.connections import Limits, build_protocol, limit_calls
from include.gateway.problem import route_exactly
from include.gateway.settings import read_database, read_keyring, read_receiving_key
from include.gateway.traffic import count_requests
from include.gateway.webhooks.app import create_app
from include.gateway.webhooks.senders import SENDERS
from include.warehouse import schema

CALLS_AT_ONCE = 500
"""Maximum number of requests at the same time. Further requests get a 503 before they are read."""


def main() -> int:
    """Serve until a termination signal; finish the requests in progress before exiting."""
    parser = argparse.ArgumentParser(prog="python -m include.gateway", description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 127.0.0.1: this machine only")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--certificate", help="PEM file for TLS; without it, a proxy on this machine must provide TLS")
    parser.add_argument("--key", help="PEM file with the certificate's key")
    arguments = parser.parse_args()
    log.configure()
    try:
        engine = schema.engine(read_database())
        read_receiving_key()  # fails the start if it is unreadable, like the settings below
        for sender in SENDERS:
            read_keyring(sender)  # an unreadable setting fails the start, not the first delivery
        webhooks = create_app(lambda: engine, SENDERS, read_keyring, read_receiving_key)
        apps = route_exactly([Mount("/webhooks", webhooks), *_mount_api()])
    except ConfigurationError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    proxies = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1,::1")
    uvicorn.run(
        add_health(count_requests(limit_calls(apps, CALLS_AT_ONCE), f"{socket.gethostname()}:{arguments.port}")),
        host=arguments.host,
        port=arguments.port,
        ssl_certfile=arguments.certificate,
        ssl_keyfile=arguments.key,
        http=build_protocol(Limits(), proxies),
        forwarded_allow_ips=proxies,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=10,
    )
    return 0


def add_health(app: ASGIApp) -> Starlette:
    """Return an app that answers `GET /health` without calling the wrapped app: 200 means that this process serves requests."""

    async def answer(_: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    return route_exactly([Route("/health", answer), Mount("/", app)])


def _mount_api() -> list[Mount]:
    """Return the mount of the API; an empty list if its database is not configured."""
    url = api.read_database()
    if not url:
        return []
    engine, settings = schema.engine(url), api.read_settings()
    issuer = Issuer(settings)
    return [Mount("/api/v1", create_api(lambda: engine, lambda: settings, lambda: issuer, read_receiving_key))]


if __name__ == "__main__":
    sys.exit(main())
