"""Rules about required minimum distributions that no financial plan covers."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.finding import about_persons, dollars
from include.rules.household_view import HouseholdView
from include.rules.policy import Policy
from include.rules.snapshot import USD, total


def find_unplanned_distributions(view: HouseholdView, policy: Policy) -> pa.Table | None:
    """A person has reached the age of required distributions, and no plan was created or changed for them.

    What: owners of active accounts with required distributions (`rmd_account_types`, in the vendors' words), from 1 January of
        the year in which they reach the age. No vendor states whether a plan provides for distributions. So a household counts as
        planned if one of its base plans was changed in that year or later, or shortly before. Accounts held away are not evaluated,
        because their owners are unknown. The exception for people who still work for the employer of a 401(k) is ignored.
    Why: a distribution that is not taken in time is taxed at a quarter of it (10% if corrected in time), and large
        distributions raise tax brackets and Medicare premiums for years.
    Threshold: the person has reached the age set by law, and the plans' last change is more than `rmd_lead_days` before that year. The
        age is 70 1/2 for people born before July 1949, 72 for those born by the end of 1950, 73 for those born by the end of 1959, and
        75 for all others. The source is Internal Revenue Code section 401(a)(9)(C)(v), as amended by section 107 of the SECURE 2.0 Act.
        On the birth year 1959 the act contradicts itself, so the proposed regulation of 19 July 2024 (89 FR 58644) is used.
        Measure: dollars in those accounts.
    Closes: a plan is changed, or those accounts are empty.

    Returns None if the firm has no plans.
    """
    if not view.plans.num_rows:
        return None
    held = _sum_accounts(view, policy)
    first_year = _find_first_year(held["birth_date"])
    held = held.append_column("first_year", first_year)
    reached = held.filter(pc.less_equal(first_year, view.business_date.year))
    changed = view.plans.group_by("household_id").aggregate([("changed_on", "max")])
    reached = reached.join(changed, "household_id")
    days = pa.scalar(policy.rmd_lead_days, pa.int32())
    lead = pc.add(reached["changed_on_max"].cast(pa.int32()), days).cast(pa.date32())
    is_planned = pc.fill_null(pc.greater_equal(pc.year(lead), reached["first_year"]), False)
    unplanned = reached.filter(pc.invert(is_planned))
    last = pc.binary_join_element_wise(
        "the last plan change was on ", unplanned["changed_on_max"].cast(pa.string()), ""
    )
    return about_persons(
        view, unplanned, unplanned["market_value_usd"],
        "Minimum distributions are required since ", unplanned["first_year"], " from accounts worth ",
        dollars(unplanned["market_value_usd"]), "; ", pc.coalesce(last, "there is no financial plan"), ".",
    )  # fmt: skip


def _sum_accounts(view: HouseholdView, policy: Policy) -> pa.Table:
    """Return the persons who have money in accounts with required distributions.

    Columns: person_id, market_value_usd (the sum of these accounts), birth_date, household_id.
    """
    types = pa.array(sorted(policy.rmd_account_types), pa.string())
    due = view.retirement.filter(pc.is_in(view.retirement["account_type"], value_set=types))
    due = due.set_column(3, "market_value_usd", pc.fill_null(due["market_value_usd"], Decimal(0)).cast(USD))
    sums = total(due, ["person_id"], {"market_value_usd": USD})
    sums = sums.filter(pc.greater(sums["market_value_usd"], pa.scalar(Decimal(0), USD)))
    persons = view.persons.select(["person_id", "household_id", "birth_date"])
    return sums.join(persons, "person_id", join_type="inner")


def _find_first_year(born: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return for each birth date the calendar year for which the first required distribution is due."""
    year = pc.year(born)
    half = pc.add(year, pc.if_else(pc.greater_equal(pc.month(born), 7), 71, 70))
    later = pc.if_else(pc.less(born, pa.scalar(date(1960, 1, 1))), pc.add(year, 73), pc.add(year, 75))
    later = pc.if_else(pc.less(born, pa.scalar(date(1951, 1, 1))), pc.add(year, 72), later)
    return pc.if_else(pc.less(born, pa.scalar(date(1949, 7, 1))), half, later)
