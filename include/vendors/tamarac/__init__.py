"""Tamarac (Envestnet): accounts, groups, households and people from the External API, holdings and transactions from reports.

The vendor has published the kinds of data, paging by links, the omission of null properties, and the daily custodial sync. Paths, fields,
report names and CSV headers are not public; those here are defaults, which the connection may override (`paths`, `columns`). Groups that
are listed among the accounts are dropped, and rows of the same security in an account are summed. Households own accounts through nested
groups or in part; the table of account owners has the resulting shares. Transactions are requested by entry date, so that back-dated
trades are included.
"""

from __future__ import annotations

from include.contract import Basic, Budget, Probe, Vendor
from include.vendors.tamarac import accounts, clients, positions
from include.vendors.tamarac.accounts import ACCOUNTS, GROUPS
from include.vendors.tamarac.clients import CLIENTS, HOUSEHOLDS
from include.vendors.tamarac.positions import HOLDINGS, TRANSACTIONS

TAMARAC = Vendor(
    name="tamarac",
    title="Tamarac",
    notes=__doc__,
    login=Basic(),
    tables=(CLIENTS, HOUSEHOLDS, GROUPS, ACCOUNTS, HOLDINGS, TRANSACTIONS),
    maps=(*clients.MAPS, *accounts.MAPS, *positions.MAPS),
    cron="0 6 * * 1-5",
    zone="America/New_York",
    ranks={"": 20},
    # The vendor publishes no limit; this is ours, and the connection may lower it.
    budget=Budget(calls_per_minute=300, burst=20),
    closed=Probe(path="custodial-sync", params={}, field="lastSuccessfulDate"),
)
