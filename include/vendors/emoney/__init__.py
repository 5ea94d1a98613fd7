"""eMoney Advisor: clients with their spouses, plans, goals and the results of Monte Carlo simulations.

The vendor has published the login (a signed assertion and an API key), the limits (60 calls a minute, 250 simulations an hour), and
the paths of plans, expenses and simulations. The paths and fields of clients and accounts are not public; those here are defaults.
A goal is an expense with a goal flag. The vendor computes a probability at each call, with slightly different results, so it is
stored with the time of the call. Clients may be deleted permanently, without a trace.
"""

from __future__ import annotations

from include.contract import Budget, SignedAssertion, Vendor
from include.vendors.emoney import accounts, clients, plans
from include.vendors.emoney.accounts import ACCOUNTS
from include.vendors.emoney.clients import CLIENTS
from include.vendors.emoney.plans import EXPENSES, GOAL_FUNDING, GOAL_RESULTS, MONTE_CARLO, PLANS

EMONEY = Vendor(
    name="emoney",
    title="eMoney Advisor",
    notes=__doc__,
    login=SignedAssertion(),
    headers={"apikey": "api_key"},
    tables=(CLIENTS, PLANS, EXPENSES, MONTE_CARLO, GOAL_RESULTS, GOAL_FUNDING, ACCOUNTS),
    maps=(*clients.MAPS, *plans.MAPS, *accounts.MAPS),
    cron="0 4 * * 6",
    # A batch run may request 192 simulations an hour, so 1,900 plans take ten hours.
    due={"stage": "14:00", "load": "15:00"},
    # Clients maintain their own address at eMoney.
    ranks={"": 30, "email": 5, "phone": 5},
    budget=Budget(calls_per_minute=60, burst=10, calls_per_hour={"monte_carlo": 250}),
)
