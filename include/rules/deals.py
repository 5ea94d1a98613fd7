"""Deals: won in Salesforce, and nothing came of it."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.finding import about_deals
from include.rules.picture import Picture
from include.rules.policy import Policy


def find_unserved_deals(picture: Picture, policy: Policy) -> pa.Table:
    """A deal was won, and no portfolio system has the household.

    What: opportunities that Salesforce calls won, whose account is no household of a portfolio system, nor a person of one; those
        whose account we have never written have no household at all.
    Why: a client has said yes, and nobody has opened anything; nothing of it is billed or invested.
    Threshold: won more than `deal_household_days` ago. Measure: days since.
    Closes: a portfolio system has the household, or the deal is no longer won.
    """
    first = picture.business_date - timedelta(days=policy.deal_household_days)
    is_late = pc.fill_null(pc.less(picture.deals["won_on"], pa.scalar(first)), False)
    rows = picture.deals.filter(pc.and_(is_late, pc.invert(picture.deals["is_served"])))
    days = pc.days_between(rows["won_on"], pa.scalar(picture.business_date))
    return about_deals(
        rows, days, "A deal was won on ", rows["won_on"],
        f", and after {policy.deal_household_days} days no portfolio system has the household.",
    )  # fmt: skip
