"""What a client can bear, and what the portfolio takes. Risk numbers go from 1 to 99."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc

from include.rules.finding import about_persons, worst_of
from include.rules.picture import Picture
from include.rules.policy import Policy


def find_misaligned(picture: Picture, policy: Policy) -> pa.Table:
    """A portfolio takes clearly more, or less, risk than its owner can bear.

    What: the newest risk number of each current portfolio against the newest of the person whose it is; of several
        portfolios the one farthest off is named. A number that is missing is not judged.
    Why: recommendations have to suit the client; who is invested beyond what they can bear sells at the bottom.
    Threshold: more than `risk_gap_points`, up or down; advisors treat five to ten as aligned. Measure: points, the
        portfolio's less the client's.
    Closes: they are aligned again, by another portfolio or another questionnaire.
    """
    risks = picture.risks
    gap = pc.subtract(risks["portfolio_risk_number"], risks["client_risk_number"])
    risks = risks.append_column("gap", gap).append_column("size", pc.abs(gap))
    off = risks.filter(pc.greater(risks["size"], policy.risk_gap_points))
    worst = worst_of(off, "person_id", [("size", "descending"), ("portfolio_id", "ascending")])
    return about_persons(
        picture, worst, worst["gap"],
        "The portfolio's risk number is ", worst["portfolio_risk_number"], ", the client's ", worst["client_risk_number"],
        ": ", worst["size"], " points ", pc.if_else(pc.greater(worst["gap"], 0), "above.", "below."),
    )  # fmt: skip


def find_old_questionnaires(picture: Picture, policy: Policy) -> pa.Table:
    """What a client can bear was asked too long ago, or in a way that is not used any more.

    What: the last questionnaire that was completed, and neither archived nor deleted. Who never completed any is not
        judged; the mart `questionnaire_age` counts them.
    Why: the risk number rests on it; a client who has retired, or married, since then answers otherwise.
    Threshold: more than `questionnaire_days` ago, or of a version that is not among `questionnaire_versions`, which are
        the vendor's words; one of which no version is known is judged by its age alone. Measure: its age in days.
    Closes: another one is completed.
    """
    asked = picture.questionnaires
    first = pa.scalar(picture.business_date - timedelta(days=policy.questionnaire_days))
    is_old = pc.less(asked["completed_on"], first)
    current = pa.array(sorted(policy.questionnaire_versions), pa.string())
    is_outdated = pc.and_(pc.is_valid(asked["version"]), pc.invert(pc.is_in(asked["version"], value_set=current)))
    asked = asked.append_column("is_old", is_old).append_column("is_outdated", is_outdated)
    found = asked.filter(pc.or_(is_old, is_outdated))
    age = pc.days_between(found["completed_on"], pa.scalar(picture.business_date))
    version = pc.binary_join_element_wise(", on an old version (", pc.fill_null(found["version"], ""), ")", "")
    return about_persons(
        picture, found, age,
        "The questionnaire was completed on ", found["completed_on"],
        pc.if_else(found["is_old"], f", more than {policy.questionnaire_days} days ago", ""),
        pc.if_else(found["is_outdated"], version, ""), ".",
    )  # fmt: skip
