"""MoneyGuidePro (Envestnet MoneyGuide): households, their plans, the plans' inputs, and the probability of success.

Source of fields: a partner's typed model of the responses, published with the partner's API. Paths, paging and login are not public;
those here are defaults. Numbers are strings, and their scale is not public. A probability between 0 and 1 may be a fraction or a
percentage, so its row becomes a dead letter. A plan without a recommended scenario has no recommended probability, which is not zero.
Goals and policies have no ids: those with the same name are numbered in the order of their values. A response with HTTP 200 may report
that balances could not be refreshed; then the result is flagged as stale.
"""

from __future__ import annotations

from include.contract import Basic, Budget, Vendor
from include.vendors.moneyguidepro import assets, households, plans
from include.vendors.moneyguidepro.assets import ASSETS, INSURANCE_POLICIES
from include.vendors.moneyguidepro.households import HOUSEHOLDS, PARTICIPANTS
from include.vendors.moneyguidepro.plans import GOALS, METERS, PLAN_SUMMARIES

MONEYGUIDEPRO = Vendor(
    name="moneyguidepro",
    title="MoneyGuidePro",
    notes=__doc__,
    login=Basic(),
    headers={"institutionId": "institution_id"},
    tables=(HOUSEHOLDS, PARTICIPANTS, METERS, PLAN_SUMMARIES, GOALS, INSURANCE_POLICIES, ASSETS),
    maps=(*households.MAPS, *plans.MAPS, *assets.MAPS),
    cron="0 5 * * 6",
    ranks={"": 40},
    # The vendor publishes no limit; this is ours, and the connection may lower it.
    budget=Budget(calls_per_minute=300, burst=20),
)
