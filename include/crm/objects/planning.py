"""Planning and risk in Salesforce: the fields that summarize them on households and persons, and the goals of each household's leading plan."""

from __future__ import annotations

from dataclasses import replace

from include.crm.objects.long_key import shorten_sql
from include.crm.objects.mapping import (
    CLEARED,
    Field,
    Rows,
    current,
    custom,
    daily,
    day,
    flag,
    money,
    number,
    percent,
    text,
)


def _day_of(moment: str) -> str:
    """Return SQL of the date in New York."""
    return f"({moment} at time zone 'America/New_York')::date"


_SUMMARY = (
    custom(
        daily(percent("Tributary_Plan_Success__c", "n.probability_ratio")),
        "Plan Success",
        "Probability that the leading financial plan of the household succeeds without changes",
    ),
    custom(
        daily(percent("Tributary_Plan_Recommended__c", "n.recommended_ratio")),
        "Plan Success if Recommended",
        "Probability that the plan succeeds if the advice is followed; empty without advice",
    ),
    custom(
        daily(day("Tributary_Plan_Computed__c", _day_of("n.computed_at"))),
        "Plan Computed On",
        "Day on which the probability of the plan was computed",
    ),
    custom(
        day("Tributary_Plan_Changed__c", "n.changed_on"),
        "Plan Changed On",
        "Day on which a planner last changed the plan",
    ),
    custom(
        text("Tributary_Plan_Source__c", "n.vendor", 80),
        "Plan Source",
        "Vendor of the plan",
    ),
    custom(
        daily(flag("Tributary_Plan_Stale__c", "n.is_stale")),
        "Plan on Old Balances",
        "Whether the plan uses balances that the planning system could not refresh",
    ),
    custom(
        number("Tributary_Risk_Number__c", "r.client_risk_number", 0),
        "Risk Number",
        "Risk that the client accepts, 1 to 99. For a household: that of the member with the largest gap to the portfolio",
    ),
    custom(
        daily(number("Tributary_Portfolio_Risk__c", "r.portfolio_risk_number", 0)),
        "Portfolio Risk Number",
        "Risk of the current portfolio, 1 to 99",
    ),
    custom(
        daily(day("Tributary_Risk_Measured__c", "coalesce(r.portfolio_analyzed_on, r.portfolio_measured_on)")),
        "Risk Measured On",
        "Day on which the portfolio was analyzed, or its number was read if that is unknown",
    ),
    custom(
        day("Tributary_Questionnaire_Date__c", "q.completed_on"),
        "Risk Questionnaire Completed On",
        "Day on which the questionnaire of the risk number was completed",
    ),
)
SUMMARY = tuple(replace(field, when_gone="false" if field.kind == "flag" else CLEARED) for field in _SUMMARY)
"""Fields of a household's or person's account. Their SQL reads the leading plan `n`, the risk `r` and the questionnaire `q`, which
`OF_HOUSEHOLD` and `OF_PERSON` join. A record that becomes one with another no longer shows them."""

HELD_AWAY = custom(
    daily(money("Tributary_Held_Away__c", "w.held_away_usd", when_gone=CLEARED)),
    "Held Away",
    "Assets in the household's plan that the firm does not manage; managed assets are excluded",
)

_LEADING = "(select * from mart.plan_freshness where is_leading) n"


def _risk(by: str) -> str:
    """Return SQL that selects, per household or person, the portfolio whose risk differs most from the risk that the client accepts.

    `by` is the id column to group by.
    """
    return f"""
        (select distinct on ({by}) * from mart.risk_alignment where {by} is not null
         order by {by}, abs(difference) desc nulls last, portfolio_id) r
    """  # noqa: S608


# A household shows the risk of the member whose portfolio differs most from the accepted risk.
OF_HOUSEHOLD = f"""
    left join {_LEADING} on n.household_id = h.household_id
    left join {_risk("household_id")} on r.household_id = h.household_id
    left join mart.questionnaire q on q.person_id = r.person_id
    left join mart.plan_assets w on w.household_id = h.household_id and w.vendor = n.vendor
"""

OF_PERSON = f"""
    left join mart.person_as_one('infinity') o on o.person_id = p.person_id
    left join {_LEADING} on n.household_id = o.household_id
    left join {_risk("person_id")} on r.person_id = p.person_id
    left join mart.questionnaire q on q.person_id = p.person_id
"""

# The goal's total cost over all of its years, in today's dollars.
_COST = "o.amount_usd * greatest(coalesce(o.end_year, o.start_year) - o.start_year + 1, 1)"
COST = f"coalesce({_COST}, o.amount_usd)"
"""The goal's cost, if a year is unknown that of one year."""

FUNDED = f"g.funded_ratio * {_COST}"
"""The part of the goal's cost that is funded."""

TARGET = "make_date(o.start_year::int, 1, 1)"
"""The day on which the goal begins."""


def _list_goals(entity: str) -> Rows:
    key = build_key(entity, "o", own="goal")
    return Rows(
        entity,
        key,
        source="""
            warehouse.goal o
            left join mart.goal_health g on g.goal_id = o.goal_id
            join warehouse.known_household h on h.household_id = o.household_id
            join (
                select distinct on (m.identity_id) m.identity_id, e.vendor, e.person_key
                from warehouse.known_person e join warehouse.known_household m on m.household_id = e.household_id
                where e.is_anchor order by m.identity_id, e.birth_date nulls last, e.person_id
            ) p on p.identity_id = h.identity_id
        """,
        where=f"""
            {current("o")} and (
                (g.is_leading and g.is_named)
                or exists (select from control.crm_state s where s.sobject = :sobject and s.external_key = {key}))
        """,
        ids={"goal_id": "o.goal_id", "plan_id": "o.plan_id"},
    )


def build_key(entity: str, alias: str, own: str = "") -> str:
    """Return SQL of the external key of a row; the planning system's key may be longer than Salesforce's field.

    Args:
        entity: The entity.
        alias: The alias of the row's table.
        own: The entity of the table; empty for `entity`.
    """
    key = shorten_sql(f"control.first_key({alias}.{own or entity}_key)")
    return f"(:firm || ':' || {alias}.vendor || ':{entity}:' || {key})"


# `o` is a goal of the household `h`, `g` its newest result, and `p` the household's eldest member. A goal that was sent stays up to date:
# the field *In the Plan* is false once the goal is no longer in the leading plan.
GOAL = _list_goals("goal")

GOAL_PARTY = _list_goals("goal_party")
"""The person whose goal it is."""

# `o` is the leading plan of the household `h`, `n` its newest result. A plan that was sent stays up to date.
PLAN = Rows(
    "plan",
    build_key("plan", "o"),
    source="""
        warehouse.plan o
        left join mart.plan_freshness n on n.plan_id = o.plan_id
        join warehouse.known_household h on h.household_id = o.household_id
    """,
    where=f"""
        {current("o")} and (
            n.is_leading
            or exists (select from control.crm_state s where s.sobject = :sobject and s.external_key = {build_key("plan", "o")}))
    """,
    ids={"household_id": "h.household_id", "plan_id": "o.plan_id"},
)


def classify_goal(home: str) -> str:
    """Return SQL of the goal's type, one of four, derived from the type and name in the planning system.

    Args:
        home: The org's value for a house.
    """
    return f"""
        case when concat_ws(' ', o.goal_type, o.name) ~* 'retire' then 'Retirement'
             when concat_ws(' ', o.goal_type, o.name) ~* 'educat|college' then 'Education'
             when o.goal_type ~* 'home|house' then '{home}' else 'Other' end
    """


def list_results(prefix: str = "Tributary_") -> tuple[Field, ...]:
    """Return the custom fields of a goal with its newest result; `prefix` begins their names."""
    return (
        custom(
            daily(percent(f"{prefix}Success__c", "g.probability_ratio")),
            "Goal Success",
            "Probability that the goal is reached; empty if the planning system computes only plans",
        ),
        custom(
            daily(percent(f"{prefix}Funded__c", "g.funded_ratio")),
            "Funded",
            "Money set aside for the goal, as a share of its cost",
        ),
        custom(
            daily(number(f"{prefix}Shortfall_Year__c", "g.shortfall_year", 0)),
            "Shortfall Year",
            "First year in which money is missing",
        ),
        custom(
            daily(day(f"{prefix}Computed__c", _day_of("g.computed_at"))),
            "Computed On",
            "Day on which the probability of the goal was computed",
        ),
        custom(
            flag(f"{prefix}Current__c", "g.is_leading and g.is_named"),
            "In the Plan",
            "Whether the goal is in the household's leading plan",
        ),
    )
