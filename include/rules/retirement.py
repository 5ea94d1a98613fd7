"""Required minimum distributions: who has to begin, and has no plan that knows of it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.book import USD, total
from include.rules.finding import about_persons, dollars
from include.rules.picture import Picture
from include.rules.policy import Policy


def find_unplanned_distributions(picture: Picture, policy: Policy) -> pa.Table | None:
    """A person has reached the age at which money must be taken out, and no plan was made or changed for it.

    What: owners of active accounts that must pay out (`rmd_account_types`, the vendors' words), from 1 January of the year
        in which they reach the age. No vendor says whether a plan provides for distributions, so a base plan of the
        household that was changed since shortly before that year counts as one that does. Accounts held away are not
        looked at, for nobody says whose they are; nor is whether somebody still works for the employer of a 401(k).
    Why: what is not taken out in time is taxed by a quarter of it (10% if corrected in time), and large distributions
        move brackets and premiums for years.
    Threshold: the age is the law's, not the firm's: 70 1/2 for who was born before July 1949, 72 to the end of 1950, 73 to
        the end of 1959, 75 after (Internal Revenue Code section 401(a)(9)(C)(v), by section 107 of the SECURE 2.0 Act;
        for 1959, in which the act contradicts itself, the proposed regulation of 19 July 2024, 89 FR 58644). The plan
        was changed before `rmd_lead_days` ahead of that year. Measure: dollars in those accounts.
    Closes: a plan is changed, or the accounts are empty of the person.
    """
    if not picture.plans.num_rows:
        return None
    held = _held(picture, policy)
    first_year = _first_year(held["birth_date"])
    held = held.append_column("first_year", first_year)
    reached = held.filter(pc.less_equal(first_year, picture.business_date.year))
    changed = picture.plans.group_by("household_id").aggregate([("changed_on", "max")])
    reached = reached.join(changed, "household_id")
    days = pa.scalar(policy.rmd_lead_days, pa.int32())
    lead = pc.add(reached["changed_on_max"].cast(pa.int32()), days).cast(pa.date32())
    is_planned = pc.fill_null(pc.greater_equal(pc.year(lead), reached["first_year"]), False)
    found = reached.filter(pc.invert(is_planned))
    last = pc.binary_join_element_wise("the plan was changed last on ", found["changed_on_max"].cast(pa.string()), "")
    return about_persons(
        picture, found, found["market_value_usd"],
        "Distributions are required since ", found["first_year"], " from accounts worth ",
        dollars(found["market_value_usd"]), "; ", pc.coalesce(last, "there is no plan"), ".",
    )  # fmt: skip


def _held(picture: Picture, policy: Policy) -> pa.Table:
    """Persons with what they have in accounts that must pay out: market_value_usd, birth_date, household_id."""
    types = pa.array(sorted(policy.rmd_account_types), pa.string())
    due = picture.retirement.filter(pc.is_in(picture.retirement["account_type"], value_set=types))
    due = due.set_column(3, "market_value_usd", pc.fill_null(due["market_value_usd"], Decimal(0)).cast(USD))
    sums = total(due, ["person_id"], {"market_value_usd": USD})
    sums = sums.filter(pc.greater(sums["market_value_usd"], pa.scalar(Decimal(0), USD)))
    persons = picture.persons.select(["person_id", "household_id", "birth_date"])
    return sums.join(persons, "person_id", join_type="inner")


def _first_year(born: pa.ChunkedArray) -> pa.ChunkedArray:
    """The calendar year for which the first distribution is due."""
    year = pc.year(born)
    half = pc.add(year, pc.if_else(pc.greater_equal(pc.month(born), 7), 71, 70))
    later = pc.if_else(pc.less(born, pa.scalar(date(1960, 1, 1))), pc.add(year, 73), pc.add(year, 75))
    later = pc.if_else(pc.less(born, pa.scalar(date(1951, 1, 1))), pc.add(year, 72), later)
    return pc.if_else(pc.less(born, pa.scalar(date(1949, 7, 1))), half, later)
