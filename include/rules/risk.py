"""Rules about a client's risk tolerance and the risk of the client's portfolios. Risk numbers range from 1 to 99."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.finding import about_persons, worst_of
from include.rules.household_view import HouseholdView
from include.rules.policy import Policy


def find_misaligned(view: HouseholdView, policy: Policy) -> pa.Table:
    """A portfolio's risk is clearly higher or lower than its owner's risk tolerance.

    What: the newest risk number of each current portfolio, compared with the newest risk number of its owner. The finding names the
        portfolio with the largest difference. A portfolio is not evaluated if one of the numbers is missing.
    Why: recommendations have to suit the client; clients invested beyond their tolerance sell at the bottom.
    Threshold: a difference of more than `risk_gap_points`, up or down; advisors treat five to ten as aligned. Measure: points, the
        portfolio's number minus the client's.
    Closes: the numbers are aligned again, by another portfolio or another questionnaire.
    """
    risks = view.risks
    gap = pc.subtract(risks["portfolio_risk_number"], risks["client_risk_number"])
    risks = risks.append_column("gap", gap).append_column("size", pc.abs(gap))
    off = risks.filter(pc.greater(risks["size"], policy.risk_gap_points))
    worst = worst_of(off, "person_id", [("size", "descending"), ("portfolio_id", "ascending")])
    return about_persons(
        view, worst, worst["gap"],
        "The portfolio's risk number is ", worst["portfolio_risk_number"], ", ", worst["size"], " points ",
        pc.if_else(pc.greater(worst["gap"], 0), "above", "below"), " the client's ", worst["client_risk_number"], ".",
    )  # fmt: skip


def find_old_questionnaires(view: HouseholdView, policy: Policy) -> pa.Table:
    """A person's risk questionnaire is too old, or of a version no longer in use.

    What: each person's last completed questionnaire that is neither archived nor deleted. Persons without one are not evaluated; the
        mart `questionnaire_age` counts them.
    Why: the risk number is based on it; a client who has since retired or married would answer differently.
    Threshold: completed more than `questionnaire_days` ago, or of a version that is not in `questionnaire_versions` (in the vendor's
        words). If the version is unknown, only the age counts. Measure: the questionnaire's age in days.
    Closes: another questionnaire is completed.
    """
    rows = view.questionnaires
    first = pa.scalar(view.business_date - timedelta(days=policy.questionnaire_days))
    is_old = pc.less(rows["completed_on"], first)
    current = pa.array(sorted(policy.questionnaire_versions), pa.string())
    is_outdated = pc.and_(pc.is_valid(rows["version"]), pc.invert(pc.is_in(rows["version"], value_set=current)))
    rows = rows.append_column("is_old", is_old).append_column("is_outdated", is_outdated)
    old = rows.filter(pc.or_(is_old, is_outdated))
    age = pc.days_between(old["completed_on"], pa.scalar(view.business_date))
    version = pc.binary_join_element_wise(", in an outdated version (", pc.fill_null(old["version"], ""), ")", "")
    return about_persons(
        view, old, age,
        "The questionnaire was completed on ", old["completed_on"],
        pc.if_else(old["is_old"], f", more than {policy.questionnaire_days} days ago", ""),
        pc.if_else(old["is_outdated"], version, ""), ".",
    )  # fmt: skip
