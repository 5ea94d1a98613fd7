"""The mapping for the standard objects of Financial Services Cloud, which have no namespace, one field per line.

A financial account has no lookup to its owners: each owner, trustee or beneficiary is a FinancialAccountParty. A household is an account with a
PartyRelationshipGroup. What these objects lack is in custom fields that the firm deploys: the kind of an account, the values of a financial
account (FinancialAccountBalance can't be created or updated by the API), and the households of financial accounts and goals.
"""

from __future__ import annotations

from dataclasses import replace

from include.crm.objects import envelope, people, planning, rows
from include.crm.objects.mapping import (
    MISSING_SINCE,
    CrmObject,
    Field,
    always,
    choice,
    current,
    custom,
    daily,
    day,
    either,
    flag,
    key,
    link,
    masked,
    money,
    noon,
    number,
    once,
    shared,
    text,
)
from include.crm.objects.rows import ACCOUNT, RELATION
from include.crm.objects.shape import ALERT, ALERTS, READ, Shape
from include.crm.settings import Settings

GROUP = "PartyRelationshipGroup"
FINANCIAL_ACCOUNT = "FinancialAccount"
PARTY = "FinancialAccountParty"
HOLDING = "SecuritiesHolding"
SECURITY = "FinancialSecurity"
TRANSACTION = "FinancialAccountTransaction"
PLAN = "FinancialPlan"
GOAL = "FinancialGoal"
GOAL_PARTY = "FinancialGoalParty"

_SAME_PARTY = ("FinancialAccount", "Account", "Role")


def list_objects(settings: Settings) -> list[CrmObject]:
    """Return the mappings, parents before children."""
    if settings.persons == "person_accounts":
        persons = [people.show_person_account(settings)]
    else:
        persons = [_individual(settings), people.show_contact(settings)]
    found = [
        rows.HOUSEHOLD.show(settings, ACCOUNT, *people.HOUSEHOLD),
        _group(settings),
        *persons,
        _membership(settings),
    ]
    found += [rows.LEGAL_ENTITY.show(settings, ACCOUNT, *people.LEGAL_ENTITY), _security(settings), _account(settings)]
    found += [_account_owner(settings), _account_role(settings), _position(settings)]
    if settings.has_transactions:
        found.append(_transaction(settings))
    return [
        *found,
        _plan(settings),
        _goal(settings),
        _goal_party(settings),
        envelope.envelope(settings),
        _alert(settings),
    ]


def _group(settings: Settings) -> CrmObject:
    return rows.RELATIONSHIP_GROUP.show(
        settings,
        GROUP,
        shared(text("Name", "h.name", 80)),
        once(link(settings, "Account", ACCOUNT, key("household", "h"), "household")),
        once(always("Type", "Household")),
        parent="Account",
        same_if=("Account",),
    )


def _individual(settings: Settings) -> CrmObject:
    return rows.PERSON.show(
        settings, ACCOUNT, people.show_kind("Person"), shared(text("Name", "p.name", 255)), *planning.SUMMARY
    )


# Salesforce does not let the two ends of a relation change. So a person who moves to another household gets a new relation, and the old
# one becomes inactive.
def _membership(settings: Settings) -> CrmObject:
    return rows.MEMBERSHIP.show(
        settings,
        RELATION,
        once(people.link_member(settings)),
        once(link(settings, "Account", ACCOUNT, key("household", "h"), "household")),
        flag("IsActive", "true", when_gone="false"),
        flag("IsPrimaryGroup", "true", when_gone="false"),
        flag("IsIncludedInGroup", "true", when_gone="false"),
        parent="Account",
        same_if=("Contact", "Account"),
    )


# Salesforce's page says that the name identifies a security uniquely.
def _security(settings: Settings) -> CrmObject:
    return rows.name_securities("Name", 255).show(
        settings,
        SECURITY,
        text("Name", f"coalesce({rows.UNIQUE_NAME}, s.ticker, s.security_key)", 255),
        text("Symbol", "s.ticker", 255),
        text("SecurityIdentifier", rows.CUSIP, 9),
        text("AssetClass", "s.asset_class", 255),
    )


# Salesforce requires a number and a type. The type takes the place of a record type, so the vendor's type has a field of its own.
def _account(settings: Settings) -> CrmObject:
    return rows.FINANCIAL_ACCOUNT.show(
        settings,
        FINANCIAL_ACCOUNT,
        shared(text("Name", "a.name", 255)),
        masked("FinancialAccountNumber", f"coalesce({rows.ACCOUNT_NUMBER}, 'xxxxxxxx')"),
        once(always("Type", "Investment Account")),
        either("Status", "a.is_active", "Active", "Closed"),
        day("OpeningDate", "a.open_date"),
        day("ClosingDate", "a.close_date"),
        _link_household(settings, "Household of the account"),
        custom(
            shared(text("Tributary_Account_Type__c", "a.account_type", 255)),
            "Account Type",
            "Type of the account at the vendor",
        ),
        custom(flag("Tributary_Managed__c", "a.is_managed"), "Managed", "Whether the firm manages the account"),
        custom(
            flag("Tributary_Discretionary__c", "a.is_discretionary"),
            "Discretionary",
            "Whether the firm trades at its discretion",
        ),
        custom(rows.show_worth("Tributary_Balance__c", "v.market_value_usd"), "Balance", "Market value of the account"),
        custom(rows.show_worth("Tributary_Cash_Balance__c", "v.cash_usd"), "Cash Balance", "Cash in the account"),
        parent="Tributary_Household__r",
        closed_by=("Status", "Closed"),
        worth="Tributary_Balance__c",
    )


def _account_owner(settings: Settings) -> CrmObject:
    role = choice("Role", "case when o.nth = 1 then 'Owner' else 'Joint Owner' end", "Owner", "Joint Owner")
    owner = link(settings, "Account", ACCOUNT, rows.OWNER, "legal_entity", "person")
    return rows.ACCOUNT_OWNER.show(
        settings, PARTY, *_list_party(settings, owner, role), parent="FinancialAccount", same_if=_SAME_PARTY
    )


def _account_role(settings: Settings) -> CrmObject:
    role = choice("Role", rows.ROLE, "Trustee", "Beneficiary", "Other")
    person = link(settings, "Account", ACCOUNT, key("person", "p"), "person")
    return rows.ACCOUNT_ROLE.show(
        settings, PARTY, *_list_party(settings, person, role), parent="FinancialAccount", same_if=_SAME_PARTY
    )


# Salesforce itself computes from the dates whether a role is active, and does not let the account of a party change.
def _list_party(settings: Settings, party: Field, role: Field) -> list[Field]:
    return [
        once(link(settings, "FinancialAccount", FINANCIAL_ACCOUNT, key("account", "a"), "account")),
        party,
        role,
        day("RoleEndDate", "null::date", when_gone=MISSING_SINCE),
    ]


def _position(settings: Settings) -> CrmObject:
    return rows.POSITION.show(
        settings,
        HOLDING,
        text("Name", "coalesce(s.name, s.ticker)", 255),
        link(settings, "FinancialAccount", FINANCIAL_ACCOUNT, key("account", "a"), "account"),
        link(settings, "FinancialSecurity", SECURITY, key("security", "s"), "security"),
        link(settings, "Household", ACCOUNT, key("household", "h"), "household"),
        text("AssetClass", "s.asset_class", 255),
        number("Shares", "p.quantity", 4, when_gone="0.0000"),
        daily(money("Price", "p.price_usd")),
        daily(money("MarketValue", "p.market_value_usd", when_gone="0.00")),
        daily(money("GainLoss", rows.GAIN, when_gone="0.00")),
        parent="FinancialAccount",
        worth="MarketValue",
    )


def _transaction(settings: Settings) -> CrmObject:
    return rows.select_transactions(settings.transaction_days).show(
        settings,
        TRANSACTION,
        once(link(settings, "FinancialAccount", FINANCIAL_ACCOUNT, key("account", "a"), "account")),
        noon("TransactionDate", "t.trade_date"),
        money("Amount", "coalesce(t.amount_usd, 0)"),
        choice("DebitCreditIndicator", rows.DIRECTION, "Debit", "Credit"),
        rows.show_posted("Status", "Booked"),
        noon("PostedDate", "t.settle_date"),
        text("Description", "coalesce(t.description, t.transaction_type)", 255),
        parent="FinancialAccount",
    )


def _plan(settings: Settings) -> CrmObject:
    return planning.PLAN.show(
        settings,
        PLAN,
        text("Name", "coalesce(o.name, 'Plan')", 80),
        link(settings, "Account", ACCOUNT, key("household", "h"), "household"),
        once(always("Type", "Other")),
        once(always("Status", "InProgress")),
        daily(number("EstimatedSuccessPercent", "n.probability_ratio * 100", 0)),
        parent="Account",
    )


def _goal(settings: Settings) -> CrmObject:
    plan = f"left join warehouse.plan t on t.plan_id = o.plan_id and {current('t')}"
    return replace(planning.GOAL, source=f"{planning.GOAL.source} {plan}").show(
        settings,
        GOAL,
        text("Name", "coalesce(o.name, o.goal_type, 'Goal')", 80),
        link(settings, "FinancialPlan", PLAN, planning.build_key("plan", "t"), "plan"),
        _link_household(settings, "Household that has the goal"),
        choice("Type", planning.classify_goal("Home"), "Retirement", "Education", "Home", "Other"),
        once(always("Status", "IN_PROGRESS")),
        once(always("Category", "Expenditure")),
        text("Description", "o.wording", 255),
        money("TargetAmount", planning.COST, 0),
        daily(money("ActualAmount", planning.FUNDED, 0)),
        day("TargetDate", planning.TARGET),
        daily(number("EstimatedSuccessPercent", "g.probability_ratio * 100", 0)),
        *planning.list_results(),
        parent="Tributary_Household__r",
    )


# A goal belongs to a person, so it is that of the household's eldest member.
def _goal_party(settings: Settings) -> CrmObject:
    return planning.GOAL_PARTY.show(
        settings,
        GOAL_PARTY,
        once(link(settings, "FinancialGoal", GOAL, planning.GOAL.key, "goal")),
        link(settings, "Account", ACCOUNT, key("person", "p"), "person"),
        parent="FinancialGoal",
    )


# A finding of the business rules, as an alert on the record. A closed finding becomes inactive.
def _alert(settings: Settings) -> CrmObject:
    subject = f"coalesce({key('person', 'p')}, {key('household', 'h')})"
    account = link(settings, "Account__r", ACCOUNT, subject, "person", "household")
    financial = link(settings, "Financial_Account__r", FINANCIAL_ACCOUNT, key("account", "a"), "account")
    return rows.FINDING.show(
        settings,
        ALERT,
        *people.ALERT,
        custom(account, "Account", "Household or person that the alert is about"),
        custom(financial, "Financial Account", "Account that the alert is about"),
        parent="Account__r",
    )


def _link_household(settings: Settings, description: str) -> Field:
    field = link(settings, "Tributary_Household__r", ACCOUNT, key("household", "h"), "household")
    return custom(field, "Household", description)


SHAPE = Shape(
    "the standard objects of Financial Services Cloud",
    list_objects,
    ALERTS,
    READ,
    account_entity=f"""
        case when payload ->> '{people.KIND}' is not null then {people.ENTITY}
             when payload ->> 'RecordType.DeveloperName' ~* '^personaccount$|individual' and payload ->> 'RecordType.DeveloperName' !~* 'non_?individual' then 'person'
             when payload ->> 'RecordType.DeveloperName' ~* 'household' then 'household'
             else 'legal_entity' end
    """,
    required=frozenset(
        {
            f"{RELATION}.AccountId", f"{RELATION}.ContactId", f"{GROUP}.AccountId", f"{FINANCIAL_ACCOUNT}.FinancialAccountNumber",
            f"{FINANCIAL_ACCOUNT}.Type", f"{PARTY}.FinancialAccountId", f"{PARTY}.Role", f"{TRANSACTION}.Amount",
            f"{TRANSACTION}.DebitCreditIndicator", f"{TRANSACTION}.FinancialAccountId", f"{TRANSACTION}.TransactionDate",
            f"{PLAN}.AccountId", f"{PLAN}.Status", f"{PLAN}.Type", f"{GOAL}.Category", f"{GOAL}.FinancialPlanId", f"{GOAL}.Status", f"{GOAL}.Type",
            f"{GOAL_PARTY}.AccountId", f"{GOAL_PARTY}.FinancialGoalId",
        }
    ),
)  # fmt: skip
"""The standard objects of Financial Services Cloud."""
