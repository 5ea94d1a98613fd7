"""The business rules, which find situations that need action. To add a rule, add a function, its entry here, and its test."""

from __future__ import annotations

from include.rules import household
from include.rules.account import find_absent, find_closed, find_unfunded, find_unowned
from include.rules.aum import find_aum_moves, find_broken_totals
from include.rules.cash import find_excess_cash, find_negative_cash
from include.rules.concentration import find_account_concentration, find_household_concentration
from include.rules.deals import find_unserved_deals
from include.rules.flows import find_large_deposits, find_large_withdrawals
from include.rules.household_view import HouseholdView
from include.rules.planning import (
    find_assets_apart,
    find_goals_at_risk,
    find_missing_beneficiaries,
    find_old_plans,
)
from include.rules.retirement import find_unplanned_distributions
from include.rules.risk import find_misaligned, find_old_questionnaires
from include.rules.roll_forward import find_roll_forward_breaks
from include.rules.rule import Rule
from include.rules.signatures import find_ended_envelopes, find_unopened_accounts, find_waiting_envelopes
from include.rules.snapshot import Snapshot

RULES: tuple[Rule[Snapshot], ...] = (
    Rule("household_aum_moved", find_aum_moves, "warning", "Review a large change in household assets", 2, open_days=5),
    Rule("large_withdrawal", find_large_withdrawals, "warning", "Confirm a large withdrawal", 1),
    Rule("large_deposit", find_large_deposits, "info", "Invest a large deposit", 3),
    Rule("negative_cash", find_negative_cash, "critical", "Cover a negative cash balance", 1),
    Rule("excess_cash", find_excess_cash, "info", None, 0),
    Rule("household_concentration", find_household_concentration, "warning", "Review a concentrated position", 10),
    Rule("account_concentration", find_account_concentration, "info", None, 0),
    Rule("account_unfunded", find_unfunded, "info", "Fund or close an empty account", 10),
    Rule("account_unowned", find_unowned, "warning", "Correct an account's owners", 3, is_about_data=True),
    Rule("account_absent", find_absent, "warning", "Check an account missing from vendor data", 3, is_about_data=True),
    Rule(
        "household_absent",
        household.find_absent,
        "warning",
        "Check a household missing from vendor data",
        3,
        is_about_data=True,
    ),
    Rule("account_closed", find_closed, "info", "Follow up on a closed account", 5, open_days=5),
    Rule("roll_forward_break", find_roll_forward_breaks, "warning", None, 0, is_about_data=True),
    Rule("household_total_broken", find_broken_totals, "warning", None, 0, is_about_data=True),
)
"""Rules that are evaluated on one vendor's day (`Snapshot`)."""

HOUSEHOLD_RULES: tuple[Rule[HouseholdView], ...] = (
    Rule("risk_misaligned", find_misaligned, "warning", "Review a portfolio that does not match the client's risk", 10),
    Rule("questionnaire_old", find_old_questionnaires, "info", "Request a new risk questionnaire", 20),
    Rule("goal_at_risk", find_goals_at_risk, "warning", "Review a plan or goal at risk", 10),
    Rule("plan_old", find_old_plans, "info", "Update a financial plan", 20),
    Rule("plan_assets_apart", find_assets_apart, "warning", "Correct the assets in a financial plan", 10),
    Rule("rmd_unplanned", find_unplanned_distributions, "warning", "Plan required minimum distributions", 20),
    Rule("beneficiary_missing", find_missing_beneficiaries, "warning", "Add a missing beneficiary", 20),
    Rule("envelope_waiting", find_waiting_envelopes, "warning", "Remind a client to sign", 2),
    Rule("envelope_ended", find_ended_envelopes, "warning", "Follow up on an unsigned document", 2),
    Rule("deal_unserved", find_unserved_deals, "warning", "Set up the household of a won deal", 3),
    Rule("account_unopened", find_unopened_accounts, "warning", "Open an account with signed paperwork", 3),
)
"""Rules that are evaluated on the household view: the data of all vendors on households and persons."""
