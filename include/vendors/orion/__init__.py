"""Orion Advisor (Orion Connect API, v1): households, accounts, positions and transactions.

Source of every field and parameter: the vendor's public Swagger document, developer guides and SDK samples. Not
checked against a live firm. Orion calls households clients, and positions assets.
"""

from __future__ import annotations

from include.contract import Budget, Probe, SessionToken, Vendor
from include.vendors.orion import accounts, clients, positions
from include.vendors.orion.accounts import ACCOUNTS
from include.vendors.orion.clients import CLIENTS, REGISTRATIONS, REPRESENTATIVES
from include.vendors.orion.positions import ASSETS, TRANSACTIONS

ORION = Vendor(
    name="orion",
    title="Orion Advisor",
    notes=__doc__,
    # Source: the vendor's guide "Basic authentication". A refusal is 401 with an empty body.
    login=SessionToken("security/token", "Session"),
    tables=(REPRESENTATIVES, CLIENTS, REGISTRATIONS, ACCOUNTS, ASSETS, TRANSACTIONS),
    maps=(*clients.MAPS, *accounts.MAPS, *positions.MAPS),
    cron="0 6 * * 1-5",
    live="*/5 7-20 * * 1-5",  # Orion's push to others is not live yet, and few tables support edit windows
    zone="America/Chicago",
    ranks={"": 10},
    # Orion publishes no limit; this limit is ours, and the connection may lower it.
    budget=Budget(calls_per_minute=600, burst=30),
    closed=Probe(
        path="Portfolio/Accounts",
        params={"isActive": "true", "hasValue": "true", "$orderby": "LastPositionDate"},
        field="lastPositionDate",
        tolerated=5,
        top="$top",
    ),
    correlation_header="X-OAS-CorrelationId",
    sentinels=("0001-01-01", "1900-01-01"),
)
