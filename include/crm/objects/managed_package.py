"""The mapping for Financial Services Cloud's managed package, one field per line.

Every mapping reads the warehouse's current state. Fields that change every day without a reason (a "last updated" date) are not
mapped, because they would cause every row to be sent every day. Totals that the package rolls up itself are not mapped either.
"""

from __future__ import annotations

from include.crm.objects import envelope, people, planning, rows
from include.crm.objects.mapping import (
    CrmObject,
    always,
    choice,
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
from include.crm.objects.rows import ACCOUNT, CONTACT, RELATION
from include.crm.objects.shape import READ, Shape
from include.crm.settings import Settings

FINANCIAL_ACCOUNT = "FinServ__FinancialAccount__c"
ROLE = "FinServ__FinancialAccountRole__c"
HOLDING = "FinServ__FinancialHolding__c"
SECURITY = "FinServ__Securities__c"
TRANSACTION = "FinServ__FinancialAccountTransaction__c"
GOAL = "FinServ__FinancialGoal__c"
ALERT = "FinServ__Alert__c"


def list_objects(settings: Settings) -> list[CrmObject]:
    """Return the mappings, parents before children."""
    if settings.persons == "person_accounts":
        persons = [people.show_person_account(settings)]
    else:
        persons = [_individual(settings), people.show_contact(settings)]
    found = [_household(settings), *persons, _membership(settings), _legal_entity(settings), _security(settings)]
    found += [_account(settings), _account_role(settings), _position(settings)]
    if settings.has_transactions:
        found.append(_transaction(settings))
    return [*found, _goal(settings), envelope.envelope(settings), _alert(settings)]


def _household(settings: Settings) -> CrmObject:
    return rows.HOUSEHOLD.show(
        settings,
        ACCOUNT,
        always("RecordType.DeveloperName", "IndustriesHousehold"),
        always("FinServ__IndividualType__c", "Group"),
        shared(text("Name", "h.name", 255)),
        once(text("FinServ__ClientCategory__c", "h.category", 255)),
        either("FinServ__Status__c", "h.is_active", "Active", "Inactive"),
        *people.ADDRESS,
        once(text("Phone", "h.phone", 40)),
        *planning.SUMMARY,
        planning.HELD_AWAY,
    )


# The owner of a financial account must be an account that is not a household. A relation to a household needs a contact. So a person who
# is not a person account is an account with a contact below it.
def _individual(settings: Settings) -> CrmObject:
    return rows.PERSON.show(
        settings,
        ACCOUNT,
        always("RecordType.DeveloperName", "IndustriesIndividual"),
        always("FinServ__IndividualType__c", "Individual"),
        shared(text("Name", "p.name", 255)),
        *planning.SUMMARY,
    )


# Salesforce does not let the two ends of a relation change. So a person who moves to another household gets a new relation, and the old
# one becomes inactive.
def _membership(settings: Settings) -> CrmObject:
    return rows.MEMBERSHIP.show(
        settings,
        RELATION,
        once(people.link_member(settings)),
        once(link(settings, "Account", ACCOUNT, key("household", "h"), "household")),
        once(always("Roles", "Client")),
        flag("IsActive", "true", when_gone="false"),
        flag("FinServ__PrimaryGroup__c", "true", when_gone="false"),
        flag("FinServ__IncludeInGroup__c", "true", when_gone="false"),
        parent="Account",
        same_if=("Contact", "Account"),
    )


def _legal_entity(settings: Settings) -> CrmObject:
    return rows.LEGAL_ENTITY.show(
        settings,
        ACCOUNT,
        once(always("RecordType.DeveloperName", "IndustriesBusiness")),
        shared(text("Name", "l.name", 255)),
    )


def _security(settings: Settings) -> CrmObject:
    return rows.name_securities("FinServ__SecuritiesName__c", 150).show(
        settings,
        SECURITY,
        text("Name", "coalesce(s.ticker, s.cusip, s.security_key)", 80),
        text("FinServ__SecuritiesName__c", rows.UNIQUE_NAME, 150),
        text("FinServ__CUSIP__c", rows.CUSIP, 9),
        text("FinServ__AssetClass__c", "s.asset_class", 255),
    )


def _account(settings: Settings) -> CrmObject:
    return rows.FINANCIAL_ACCOUNT.show(
        settings,
        FINANCIAL_ACCOUNT,
        once(always("RecordType.DeveloperName", "InvestmentAccount")),
        shared(text("Name", "a.name", 80)),
        link(settings, "FinServ__PrimaryOwner__r", ACCOUNT, rows.OWNER, "legal_entity", "person"),
        link(settings, "FinServ__JointOwner__r", ACCOUNT, rows.JOINT_OWNER, "legal_entity", "person"),
        link(settings, "FinServ__Household__r", ACCOUNT, key("household", "h"), "household"),
        shared(text("FinServ__FinancialAccountType__c", "a.account_type", 255)),
        masked("FinServ__FinancialAccountNumber__c", rows.ACCOUNT_NUMBER),
        either("FinServ__Status__c", "a.is_active", "Open", "Closed"),
        day("FinServ__OpenDate__c", "a.open_date"),
        day("FinServ__CloseDate__c", "a.close_date"),
        flag("FinServ__Managed__c", "a.is_managed"),
        flag("FinServ__Discretionary__c", "a.is_discretionary"),
        rows.show_worth("FinServ__Balance__c", "v.market_value_usd"),
        rows.show_worth("FinServ__CashBalance__c", "v.cash_usd"),
        parent="FinServ__PrimaryOwner__r",
        closed_by=("FinServ__Status__c", "Closed"),
        worth="FinServ__Balance__c",
    )


# The package maintains the roles of the owners itself. An inactive role can't be edited, so a role that ended stays inactive.
def _account_role(settings: Settings) -> CrmObject:
    return rows.ACCOUNT_ROLE.show(
        settings,
        ROLE,
        always("RecordType.DeveloperName", "AccountRole"),
        once(link(settings, "FinServ__FinancialAccount__r", FINANCIAL_ACCOUNT, key("account", "a"), "account")),
        link(settings, "FinServ__RelatedAccount__r", ACCOUNT, key("person", "p"), "person"),
        choice("FinServ__Role__c", rows.ROLE, "Trustee", "Beneficiary", "Other"),
        flag("FinServ__Active__c", "true", when_gone="false"),
        parent="FinServ__FinancialAccount__r",
        same_if=("FinServ__FinancialAccount__r", "FinServ__RelatedAccount__r", "FinServ__Role__c"),
    )


def _position(settings: Settings) -> CrmObject:
    return rows.POSITION.show(
        settings,
        HOLDING,
        text("Name", "coalesce(s.name, s.ticker)", 80),
        link(settings, "FinServ__FinancialAccount__r", FINANCIAL_ACCOUNT, key("account", "a"), "account"),
        link(settings, "FinServ__Securities__r", SECURITY, key("security", "s"), "security"),
        link(settings, "FinServ__Household__r", ACCOUNT, key("household", "h"), "household"),
        text("FinServ__AssetClass__c", "s.asset_class", 255),
        number("FinServ__Shares__c", "p.quantity", 4, when_gone="0.0000"),
        daily(number("FinServ__Price__c", "p.price_usd", 4)),
        daily(money("FinServ__MarketValue__c", "p.market_value_usd", when_gone="0.00")),
        daily(money("FinServ__GainLoss__c", rows.GAIN, when_gone="0.00")),
        parent="FinServ__FinancialAccount__r",
        worth="FinServ__MarketValue__c",
    )


def _transaction(settings: Settings) -> CrmObject:
    return rows.select_transactions(settings.transaction_days).show(
        settings,
        TRANSACTION,
        link(settings, "FinServ__FinancialAccount__r", FINANCIAL_ACCOUNT, key("account", "a"), "account"),
        noon("FinServ__TransactionDate__c", "t.trade_date"),
        money("FinServ__Amount__c", "coalesce(t.amount_usd, 0)"),
        choice("FinServ__TransactionType__c", rows.DIRECTION, "Debit", "Credit"),
        rows.show_posted("FinServ__TransactionStatus__c", "Posted"),
        noon("FinServ__PostDate__c", "t.settle_date"),
        text("FinServ__Description__c", "coalesce(t.description, t.transaction_type)", 255),
        parent="FinServ__FinancialAccount__r",
    )


# The owner of a goal must not be a household, so the owner is the household's eldest member.
def _goal(settings: Settings) -> CrmObject:
    return planning.GOAL.show(
        settings,
        GOAL,
        text("Name", "coalesce(o.name, o.goal_type, 'Goal')", 80),
        link(settings, "FinServ__PrimaryOwner__r", ACCOUNT, key("person", "p"), "person"),
        link(settings, "FinServ__Household__r", ACCOUNT, key("household", "h"), "household"),
        choice(
            "FinServ__Type__c",
            planning.classify_goal("Home Purchase"),
            "Retirement",
            "Education",
            "Home Purchase",
            "Other",
        ),
        once(always("FinServ__Status__c", "In Progress")),
        text("FinServ__Description__c", "o.wording", 255),
        money("FinServ__TargetValue__c", planning.COST),
        daily(money("FinServ__ActualValue__c", planning.FUNDED)),
        day("FinServ__TargetDate__c", planning.TARGET),
        *planning.list_results(),
        parent="FinServ__PrimaryOwner__r",
    )


# A finding of the business rules, as an alert on the record. A closed finding becomes inactive.
def _alert(settings: Settings) -> CrmObject:
    subject = f"coalesce({key('person', 'p')}, {key('household', 'h')})"
    return rows.FINDING.show(
        settings,
        ALERT,
        text("FinServ__Message__c", "replace(f.rule, '_', ' ')", 255),
        text("FinServ__MessageDescription__c", "f.details", 255),
        choice("FinServ__Severity__c", rows.SEVERITY, "Error", "Warning", "Info"),
        flag("FinServ__Active__c", "f.closed_at is null"),
        link(settings, "FinServ__Account__r", ACCOUNT, subject, "person", "household"),
        link(settings, "FinServ__FinancialAccount__r", FINANCIAL_ACCOUNT, key("account", "a"), "account"),
        parent="FinServ__Account__r",
    )


SHAPE = Shape(
    "the managed package of Financial Services Cloud",
    list_objects,
    read=READ
    | {
        ACCOUNT: (
            "FinServ__LastReview__c", "FinServ__NetWorth__c", "FinServ__NextReview__c", "FinServ__PrimaryContact__c",
            "FinServ__RiskTolerance__c", "FinServ__ServiceModel__c", "FinServ__SourceSystemId__c",
        ),
        CONTACT: (*READ[CONTACT], "FinServ__SourceSystemId__c"),
    },
    account_entity="""
        case when payload ->> 'RecordType.DeveloperName' = 'IndustriesHousehold' or payload ->> 'FinServ__IndividualType__c' = 'Group' then 'household'
             when payload ->> 'RecordType.DeveloperName' in ('IndustriesIndividual', 'PersonAccount')
                  or payload ->> 'FinServ__IndividualType__c' = 'Individual' then 'person'
             else 'legal_entity' end
    """,
    required=frozenset(
        {
            f"{RELATION}.AccountId", f"{RELATION}.ContactId", f"{ALERT}.FinServ__Message__c", f"{ALERT}.FinServ__Severity__c",
            f"{FINANCIAL_ACCOUNT}.FinServ__PrimaryOwner__c", f"{ROLE}.FinServ__FinancialAccount__c",
            f"{TRANSACTION}.FinServ__Amount__c", f"{TRANSACTION}.FinServ__TransactionDate__c", f"{GOAL}.FinServ__PrimaryOwner__c",
            f"{HOLDING}.FinServ__FinancialAccount__c", f"{SECURITY}.FinServ__SecuritiesName__c",
        }
    ),
)  # fmt: skip
"""Financial Services Cloud's managed package."""
