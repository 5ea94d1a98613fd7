"""The mapping for a plain org, without Financial Services Cloud, one field per line.

A household is an account, a person is a contact of the household's account, and a legal entity is an account. Everything else is in custom
objects that the firm deploys (`_OWN`).

Salesforce itself relates a contact to its account, and rejects a second relation of the two. So no record of AccountContactRelation is sent,
and the org needs no "Contacts to Multiple Accounts".
"""

from __future__ import annotations

from dataclasses import replace

from include.crm.objects import envelope, people, planning, rows
from include.crm.objects.mapping import (
    CrmObject,
    Field,
    choice,
    custom,
    daily,
    day,
    either,
    flag,
    key,
    link,
    masked,
    master,
    money,
    number,
    once,
    picklist,
    shared,
    text,
)
from include.crm.objects.rows import ACCOUNT, CONTACT
from include.crm.objects.shape import ALERT, ALERTS, READ, OwnObject, Shape
from include.crm.settings import Settings

FINANCIAL_ACCOUNT = "Tributary_Account__c"
ROLE = "Tributary_Account_Role__c"
HOLDING = "Tributary_Holding__c"
SECURITY = "Tributary_Security__c"
TRANSACTION = "Tributary_Transaction__c"
GOAL = "Tributary_Goal__c"

_OWN = {
    FINANCIAL_ACCOUNT: OwnObject(
        "Financial Account",
        "Financial Accounts",
        "Accounts of clients at custodians",
        name_label="Account Name",
        has_activities=True,
    ),
    ROLE: OwnObject(
        "Account Role",
        "Account Roles",
        "Trustees, beneficiaries and others who act in a financial account",
        number_format="R-{0000000}",
        has_master=True,
    ),
    SECURITY: OwnObject("Security", "Securities", "Securities that clients hold", name_label="Symbol"),
    HOLDING: OwnObject(
        "Holding", "Holdings", "Holdings of financial accounts", name_label="Holding Name", has_master=True
    ),
    TRANSACTION: OwnObject(
        "Account Transaction",
        "Account Transactions",
        "Transactions of financial accounts",
        number_format="T-{0000000}",
    ),
    GOAL: OwnObject("Goal", "Goals", "Goals in the financial plans of households", name_label="Goal Name"),
    **ALERTS,
}


def list_objects(settings: Settings) -> list[CrmObject]:
    """Return the mappings, parents before children."""
    found = [
        rows.HOUSEHOLD.show(settings, ACCOUNT, *people.HOUSEHOLD),
        _person(settings),
        rows.LEGAL_ENTITY.show(settings, ACCOUNT, *people.LEGAL_ENTITY, separated_in=CONTACT),
        _security(settings),
        _account(settings),
        _account_role(settings),
        _position(settings),
    ]
    if settings.has_transactions:
        found.append(_transaction(settings))
    return [*found, _goal(settings), envelope.envelope(settings), _alert(settings)]


# A person without a household stays in the account that the contact has. The checkbox says whether the vendors still list the person in it.
def _person(settings: Settings) -> CrmObject:
    joined = f"{rows.PERSON.source} left join warehouse.known_household h on h.household_id = p.household_id"
    home = link(settings, "Account", ACCOUNT, key("household", "h"), "household")
    member = flag("Tributary_Member__c", "h.household_id is not null", when_gone="false")
    return replace(rows.PERSON, source=joined, stays_if=rows.AWAITED).show(
        settings,
        CONTACT,
        replace(home, unknown="h.household_id is null"),
        *people.NAME,
        day("Birthdate", "p.birth_date"),
        custom(member, "Household Member", "Whether a vendor lists the person as a member of the household"),
        *planning.SUMMARY,
        parent="Account",
    )


def _security(settings: Settings) -> CrmObject:
    return rows.SECURITY.show(
        settings,
        SECURITY,
        text("Name", "coalesce(s.ticker, s.cusip, s.security_key)", 80),
        custom(text("Security_Name__c", "s.name", 255), "Security Name", "Name of the security"),
        custom(text("CUSIP__c", rows.CUSIP, 9), "CUSIP", "CUSIP of the security"),
        custom(
            text("Asset_Class__c", "s.asset_class", 255), "Asset Class", "Asset class of the security at the vendor"
        ),
    )


def _account(settings: Settings) -> CrmObject:
    return rows.FINANCIAL_ACCOUNT.show(
        settings,
        FINANCIAL_ACCOUNT,
        shared(text("Name", "a.name", 80)),
        _link(settings, "Household", ACCOUNT, "household", "h", "Household of the account"),
        _link(
            settings, "Primary Owner", CONTACT, "person", "p", "Person who owns the account, or the largest share of it"
        ),
        _link(settings, "Joint Owner", CONTACT, "person", "j", "Second person who owns the account"),
        _link(settings, "Owning Entity", ACCOUNT, "legal_entity", "l", "Legal entity that owns the account"),
        _link(
            settings, "Joint Owning Entity", ACCOUNT, "legal_entity", "k", "Second legal entity that owns the account"
        ),
        custom(
            shared(text("Account_Type__c", "a.account_type", 255)), "Account Type", "Type of the account at the vendor"
        ),
        custom(masked("Account_Number__c", rows.ACCOUNT_NUMBER), "Account Number", "Last four digits of the number"),
        custom(picklist(either("Status__c", "a.is_active", "Open", "Closed")), "Status", "Whether the account is open"),
        custom(day("Open_Date__c", "a.open_date"), "Open Date", "Day on which the account was opened"),
        custom(day("Close_Date__c", "a.close_date"), "Close Date", "Day on which the account was closed"),
        custom(flag("Managed__c", "a.is_managed"), "Managed", "Whether the firm manages the account"),
        custom(
            flag("Discretionary__c", "a.is_discretionary"), "Discretionary", "Whether the firm trades at its discretion"
        ),
        custom(rows.show_worth("Balance__c", "v.market_value_usd"), "Balance", "Market value of the account"),
        custom(rows.show_worth("Cash_Balance__c", "v.cash_usd"), "Cash Balance", "Cash in the account"),
        parent="Household__r",
        closed_by=("Status__c", "Closed"),
        worth="Balance__c",
    )


def _account_role(settings: Settings) -> CrmObject:
    account = _link(
        settings, "Financial Account", FINANCIAL_ACCOUNT, "account", "a", "Account in which the person acts"
    )
    return rows.ACCOUNT_ROLE.show(
        settings,
        ROLE,
        once(master(account)),
        _link(settings, "Person", CONTACT, "person", "p", "Person who acts in the account"),
        _choose("Role__c", rows.ROLE, ("Trustee", "Beneficiary", "Other"), "Role", "Role of the person in the account"),
        custom(flag("Active__c", "true", when_gone="false"), "Active", "Whether the vendor still lists the role"),
        parent="Financial_Account__r",
    )


def _position(settings: Settings) -> CrmObject:
    account = _link(settings, "Financial Account", FINANCIAL_ACCOUNT, "account", "a", "Account that has the holding")
    return rows.POSITION.show(
        settings,
        HOLDING,
        text("Name", "coalesce(s.name, s.ticker)", 80),
        master(account),
        _link(settings, "Security", SECURITY, "security", "s", "Security of the holding"),
        _link(settings, "Household", ACCOUNT, "household", "h", "Household of the account"),
        custom(
            text("Asset_Class__c", "s.asset_class", 255), "Asset Class", "Asset class of the security at the vendor"
        ),
        custom(number("Units__c", "p.quantity", 6, when_gone="0.000000"), "Units", "Units that the account has"),
        custom(daily(money("Price__c", "p.price_usd", 6)), "Price", "Price of a unit"),
        custom(
            daily(money("Market_Value__c", "p.market_value_usd", when_gone="0.00")),
            "Market Value",
            "Value of the holding",
        ),
        custom(daily(money("Gain_Loss__c", rows.GAIN, when_gone="0.00")), "Gain or Loss", "Market value minus cost"),
        parent="Financial_Account__r",
        worth="Market_Value__c",
    )


def _transaction(settings: Settings) -> CrmObject:
    return rows.select_transactions(settings.transaction_days).show(
        settings,
        TRANSACTION,
        _link(settings, "Financial Account", FINANCIAL_ACCOUNT, "account", "a", "Account of the transaction"),
        custom(day("Trade_Date__c", "t.trade_date"), "Trade Date", "Day of the trade"),
        custom(money("Amount__c", "coalesce(t.amount_usd, 0)"), "Amount", "Amount; negative if it leaves the account"),
        _choose(
            "Direction__c", rows.DIRECTION, ("Debit", "Credit"), "Direction", "Whether the amount leaves the account"
        ),
        custom(
            picklist(rows.show_posted("Status__c", "Posted")),
            "Status",
            "Whether the transaction is posted or was reversed",
        ),
        custom(day("Settlement_Date__c", "t.settle_date"), "Settlement Date", "Day of the settlement"),
        custom(
            text("Description__c", "coalesce(t.description, t.transaction_type)", 255), "Description", "What it was for"
        ),
        parent="Financial_Account__r",
    )


def _goal(settings: Settings) -> CrmObject:
    kinds = ("Retirement", "Education", "Home Purchase", "Other")
    return planning.GOAL.show(
        settings,
        GOAL,
        text("Name", "coalesce(o.name, o.goal_type, 'Goal')", 80),
        _link(settings, "Household", ACCOUNT, "household", "h", "Household that has the goal"),
        _link(settings, "Person", CONTACT, "person", "p", "Eldest member of the household"),
        _choose("Type__c", planning.classify_goal("Home Purchase"), kinds, "Type", "Kind of goal"),
        custom(text("Description__c", "o.wording", 255), "Description", "The planning system's text"),
        custom(money("Target_Value__c", planning.COST), "Target Value", "Cost of the goal, in today's dollars"),
        custom(daily(money("Actual_Value__c", planning.FUNDED)), "Actual Value", "Part of the cost that is funded"),
        custom(day("Target_Date__c", planning.TARGET), "Target Date", "Begin of the goal"),
        *planning.list_results(prefix=""),
        parent="Household__r",
    )


# A finding of the business rules, as an alert on the record. A closed finding becomes inactive.
def _alert(settings: Settings) -> CrmObject:
    return rows.FINDING.show(
        settings,
        ALERT,
        *people.ALERT,
        _link(settings, "Household", ACCOUNT, "household", "h", "Household that the alert is about"),
        _link(settings, "Person", CONTACT, "person", "p", "Person whom the alert is about"),
        _link(settings, "Financial Account", FINANCIAL_ACCOUNT, "account", "a", "Account that the alert is about"),
        parent="Household__r",
    )


def _link(settings: Settings, label: str, sobject: str, entity: str, alias: str, description: str) -> Field:
    """Return a lookup of one of our objects, named by its label."""
    field = link(settings, f"{label.replace(' ', '_')}__r", sobject, key(entity, alias), entity)
    return custom(field, label, description)


def _choose(name: str, sql: str, values: tuple[str, ...], label: str, description: str) -> Field:
    return custom(picklist(choice(name, sql, *values)), label, description)


# Record types have any names, and most plain orgs have none. An account that is not a household by mistake would get a second record, so
# any account is a household whose name is not that of a legal entity.
_LEGAL = (
    "llc|l\\.l\\.c\\.|pllc|llp|lllp|lp|pc|inc|incorporated|corp|corporation|co|company|ltd|limited|foundation|estate|trust|partnership"
    "|partners|associates|group|services|holdings|bank"
)

SHAPE = Shape(
    "a plain org",
    list_objects,
    _OWN,
    READ,
    account_entity=f"""
        case when payload ->> '{people.KIND}' is not null then {people.ENTITY}
             when payload ->> 'RecordType.DeveloperName' ~* 'household' or name !~* '\\m({_LEGAL})(\\M|$)' then 'household'
             else 'legal_entity' end
    """,
)
"""An org without Financial Services Cloud."""
