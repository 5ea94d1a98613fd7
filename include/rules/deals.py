"""Rules about deals that were won in Salesforce, but whose household is in no portfolio system."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.finding import about_deals
from include.rules.household_view import HouseholdView
from include.rules.policy import Policy


def find_unserved_deals(view: HouseholdView, policy: Policy) -> pa.Table:
    """A deal was won, and no portfolio system has the household.

    What: opportunities that are won in Salesforce, and whose Salesforce account is neither a household nor a person of a portfolio
        system. If the sync did not write the Salesforce account, the deal's household is unknown, and the deal is also a finding.
    Why: the client has agreed, and no account was opened; nothing is billed or invested.
    Threshold: won more than `deal_household_days` ago. Measure: days since the deal was won.
    Closes: a portfolio system has the household, or the deal is no longer won.
    """
    first = view.business_date - timedelta(days=policy.deal_household_days)
    is_late = pc.fill_null(pc.less(view.deals["won_on"], pa.scalar(first)), False)
    rows = view.deals.filter(pc.and_(is_late, pc.invert(view.deals["is_served"])))
    days = pc.days_between(rows["won_on"], pa.scalar(view.business_date))
    return about_deals(
        rows, days, "A deal was won on ", rows["won_on"],
        f", but no portfolio system has the household after {policy.deal_household_days} days.",
    )  # fmt: skip
