"""MoneyGuidePro's plans, goals and probabilities of success."""

from __future__ import annotations

import re
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING

from include.contract import (
    BOOLEAN,
    INTEGER,
    STRING,
    TIMESTAMP,
    Beside,
    Constant,
    Derived,
    EntityMap,
    FanOut,
    Nested,
    Table,
    column,
    constant,
    derived,
    ignored,
)
from include.vendors.arrays import (
    build_daily_key,
    day_of,
    each,
    is_missing,
    join_key,
    left_join,
    new_york_day_of,
    ratio,
)

if TYPE_CHECKING:
    import pyarrow as pa

# "$85,000 / yr from 2031", "$1.2M in 2050", "67 (2046)"; the suite of the goals accepts the same formats.
WORDING = (
    r"^(?:\$(?P<amount>[0-9][0-9,]{0,10}(?:\.[0-9]{1,4})?)(?P<million>M?) (?P<how>/ yr from|in) (?P<year>[12][0-9]{3})"
    r"|[0-9]{2,3} \((?P<at>[12][0-9]{3})\))$"
)


def amount(wording: pa.Array) -> pa.Array:
    """Return the dollars in a goal's text, such as 85,000 for `$85,000 / yr from 2031`; null if the text states an age."""
    import pyarrow as pa
    import pyarrow.compute as pc

    groups = pc.extract_regex(wording, WORDING)
    number = pc.replace_substring(pc.struct_field(groups, "amount"), ",", "")
    dollars = pc.if_else(pc.equal(number, ""), None, number).cast(pa.decimal128(18, 4))
    millions = pc.multiply(dollars, pa.scalar(Decimal(1_000_000))).cast(pa.decimal128(28, 4))
    named = pc.if_else(pc.equal(pc.struct_field(groups, "million"), "M"), millions, dollars.cast(millions.type))
    return pc.round(named, 2, round_mode="half_to_even")


def start_year(wording: pa.Array) -> pa.Array:
    """Return the start year in a goal's text; null if it states none."""
    return each(lambda text: _year(text, "year") or _year(text, "at"), wording, _int64())


def end_year(wording: pa.Array) -> pa.Array:
    """Return the end year of a one-time goal (`$1.2M in 2050`), which is also its start year; null for other goals."""
    return each(lambda text: _year(text, "year") if " in " in text else None, wording, _int64())


def is_stale(status: pa.Array) -> pa.Array:
    """Return whether the vendor did not report that it refreshed the balances; true for null."""
    import pyarrow.compute as pc

    return pc.fill_null(pc.not_equal(status, "Success"), True)


def add_household(summaries: pa.Table, households: pa.Table) -> pa.Table:
    """Join plan summaries with their households, which state the time of the plan's last change."""
    return left_join(
        summaries, households.set_column(0, "household_id", households["household_id"].cast("string")), ["household_id"]
    )


def add_plan(meters: pa.Table, summaries: pa.Table) -> pa.Table:
    """Join meters with the probability of the current scenario, which is null for a household without a plan."""
    return left_join(meters, summaries.rename_columns(["household_id", "current_probability"]), ["household_id"])


def _year(text: str, name: str) -> int | None:
    match = re.match(WORDING, text)
    return int(match[name]) if match and match[name] else None


def _int64() -> pa.DataType:
    import pyarrow as pa

    return pa.int64()


# --- tables: parents before children ---------------------------------------------------------------------------------

METERS = Table(
    name="meters",
    path="Households/{household_id}/MonteCarloMeter",
    params={"includeImage": "false"},
    key=("household_id",),
    shape=FanOut("households"),
    omits_nulls=True,
    columns=(
        column("household_id", "@household_id", STRING, required=True),
        column("probability", "probabilityOfSuccess", STRING),
        column("refresh_status", "refreshPositionsResponse.status", STRING),
        column("requested_at", "@requested_at", TIMESTAMP, required=True),
        *ignored("targetRangeLow, targetRangeHigh, targetText, highlightHtmlColor, image, imageExtension"),
        *ignored("refreshPositionsResponse, refreshPositionsResponse.messages"),
        *ignored("householdId", INTEGER),
        *ignored("isLegacyImage", BOOLEAN),
    ),
)

_METER = (
    "probabilityOfSuccess", "targetRangeLow", "targetRangeHigh", "targetText", "highlightHtmlColor", "image", "imageExtension",
    "refreshPositionsResponse", "refreshPositionsResponse.status", "refreshPositionsResponse.messages",
)  # fmt: skip

PLAN_SUMMARIES = Table(
    name="plan_summaries",
    path="Households/{household_id}/PlanSummary",
    key=("household_id",),
    shape=FanOut("households"),
    omits_nulls=True,
    columns=(
        column("household_id", "@household_id", STRING, required=True),
        column("categories", "categories", STRING),
        column("probability", "results.current.monteCarloMeter.probabilityOfSuccess", STRING),
        column("target_low", "results.monteCarloTargetRangeLow", STRING),
        column("target_high", "results.monteCarloTargetRangeHigh", STRING),
        column("refresh_status", "refreshPositionsResponse.status", STRING),
        column("requested_at", "@requested_at", TIMESTAMP, required=True),
        *ignored(", ".join(f"results.current.monteCarloMeter.{name}" for name in _METER[1:])),
        *ignored(", ".join(f"results.recommended.monteCarloMeter.{name}" for name in _METER)),
        *ignored("results, results.current, results.recommended, results.current.calculations"),
        *ignored("results.recommended.calculations, results.current.monteCarloMeter"),
        *ignored("results.recommended.monteCarloMeter, refreshPositionsResponse, refreshPositionsResponse.messages"),
        *ignored("householdId", INTEGER),
        *ignored("results.current.monteCarloMeter.isLegacyImage", BOOLEAN),
        *ignored("results.recommended.monteCarloMeter.isLegacyImage", BOOLEAN),
    ),
)

GOALS = Table(
    name="goals",
    path="",
    key=("household_id", "topic", "name", "nth"),
    shape=Nested("plan_summaries", ("categories",), ("topics", "items")),
    omits_nulls=True,
    references={"household_id": "plan_summaries"},
    columns=(
        column("household_id", "@household_id", STRING, required=True),
        column("topic", "^description", STRING, required=True),
        column("name", "description", STRING, required=True),
        column("nth", "@nth", INTEGER, required=True),
        column("wording", "current", STRING),
        column("recommended_wording", "recommended", STRING),
        *ignored("^current, ^recommended, ^changes, ^^description, changes, details"),
    ),
)

# --- canonical entities ----------------------------------------------------------------------------------------------

# Columns that both scenarios of a plan share.
_RESULT: dict[str, str | Derived | Constant] = {
    "household_key": "household_id",
    "plan_key": "household_id",
    "probability_ratio": derived(ratio, "probability"),
    "probability_text": "probability",
    "is_stale": derived(is_stale, "refresh_status"),
    "computed_on": derived(day_of, "requested_at"),
    "computed_at": "requested_at",
}

MAPS = (
    EntityMap(
        "plan",
        "plan_summaries",
        {
            "plan_key": "household_id",
            "household_key": "household_id",
            "name": constant("MoneyGuidePro plan"),
            "is_base": constant(True),
            "target_low_ratio": derived(ratio, "target_low"),
            "target_high_ratio": derived(ratio, "target_high"),
            "updated_on": derived(new_york_day_of, "last_modified"),
        },
        split=add_household,
        takes=("household_id", "target_low", "target_high", "probability"),
        beside={"households": Beside(("household_id", "last_modified"), {"household_id": "household_id"})},
        dropped={"no plan": derived(is_missing, "probability")},
    ),
    EntityMap(
        "plan_result",
        "plan_summaries",
        {
            "plan_result_key": derived(partial(build_daily_key, word="current"), "household_id", "requested_at"),
            "scenario": constant("current"),
            **_RESULT,
        },
        dropped={"no plan": derived(is_missing, "probability")},
    ),
    EntityMap(
        "plan_result",
        "meters",
        {
            "plan_result_key": derived(partial(build_daily_key, word="recommended"), "household_id", "requested_at"),
            "scenario": constant("recommended"),
            **_RESULT,
        },
        # A plan without a recommended scenario has a result without a probability, so that an earlier one is no longer the newest.
        split=add_plan,
        takes=("household_id", "probability", "refresh_status", "requested_at"),
        beside={"plan_summaries": Beside(("household_id", "probability"), {"household_id": "household_id"})},
        dropped={"no plan": derived(is_missing, "current_probability")},
    ),
    EntityMap(
        "goal",
        "goals",
        {
            "goal_key": derived(join_key, "household_id", "topic", "name", "nth"),
            "household_key": "household_id",
            "plan_key": "household_id",
            "name": "name",
            "goal_type": "topic",
            "amount_usd": derived(amount, "wording"),
            "start_year": derived(start_year, "wording"),
            "end_year": derived(end_year, "wording"),
            "wording": "wording",
        },
    ),
)
