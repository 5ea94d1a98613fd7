"""Mappings of the objects of Financial Services Cloud (managed package), one field per line.

Every mapping reads the warehouse's current state. Fields that change every day without a reason (a "last updated" date) are not
mapped, because they would cause every row to be sent every day. Totals that the package rolls up itself are not mapped either.
"""

from __future__ import annotations

from dataclasses import replace

from include.crm.objects import alert, changed, envelope, legal_entity, planning
from include.crm.objects.mapping import (
    CrmObject,
    Field,
    always,
    choice,
    clean,
    current,
    daily,
    day,
    flag,
    is_no_copy,
    key,
    link,
    money,
    noon,
    number,
    once,
    shared,
    text,
)
from include.crm.settings import Settings
from include.crm.temporary import PRESENT_DAY

ACCOUNT = "Account"
CONTACT = "Contact"
RELATION = "AccountContactRelation"
FINANCIAL_ACCOUNT = "FinServ__FinancialAccount__c"
HOLDING = "FinServ__FinancialHolding__c"
SECURITY = "FinServ__Securities__c"
TRANSACTION = "FinServ__FinancialAccountTransaction__c"


def objects(settings: Settings) -> tuple[CrmObject, ...]:
    """Return the mappings in force, parents before children: ours, with the firm's changes applied."""
    persons = [_person_account(settings)] if settings.persons == "person_accounts" else _individual(settings)
    chosen = [
        _household(settings),
        *persons,
        _membership(settings),
        legal_entity.legal_entity(settings, ACCOUNT),
        _security(settings),
    ]
    chosen += [_account(settings), legal_entity.account_role(settings, ACCOUNT, FINANCIAL_ACCOUNT), _position(settings)]
    if settings.has_transactions:
        chosen.append(_transaction(settings))
    chosen += [planning.goal(settings, ACCOUNT), envelope.envelope(settings, ACCOUNT)]
    return changed.apply((*chosen, alert.alert(settings, ACCOUNT, FINANCIAL_ACCOUNT)), settings.changes)


def _household(settings: Settings) -> CrmObject:
    return CrmObject(
        entity="household",
        sobject=ACCOUNT,
        key_field=settings.key_of(ACCOUNT),
        key=key("household", "h"),
        fields=(
            always("RecordType.DeveloperName", "IndustriesHousehold"),
            always("FinServ__IndividualType__c", "Group"),
            shared(text("Name", "h.name", 255)),
            once(text("FinServ__ClientCategory__c", "h.category", 255)),
            choice(
                "FinServ__Status__c",
                "case when h.is_active then 'Active' when not h.is_active then 'Inactive' end",
                "Active",
                "Inactive",
            ),
            shared(text("BillingStreet", "h.street", 255)),
            shared(text("BillingCity", "h.city", 40)),
            shared(text("BillingState", "h.state_code", 80)),
            shared(text("BillingPostalCode", "h.postal_code", 20)),
            shared(text("BillingCountry", "h.country", 80)),
            once(text("Phone", "h.phone", 40)),
            *planning.SUMMARY,
            planning.HELD_AWAY,
        ),
        source=f"""
            warehouse.known_household h
            {planning.OF_HOUSEHOLD}
        """,
        where="h.is_anchor",
        ids={"household_id": "h.household_id", "representative_id": "h.representative_id"},
    )


def _person_account(settings: Settings) -> CrmObject:
    return CrmObject(
        entity="person",
        sobject=ACCOUNT,
        key_field=settings.key_of(ACCOUNT),
        key=key("person", "p"),
        fields=(
            always("RecordType.DeveloperName", "PersonAccount"),
            shared(text("FirstName", "p.first_name", 40)),
            shared(text("LastName", "coalesce(p.last_name, p.name)", 80)),
            day("PersonBirthdate", "p.birth_date"),
            # A relation to a household refers to the contact half of a person account, which has its own key field.
            Field(f"{settings.key_of(CONTACT).removesuffix('__c')}__pc", key("person", "p"), length=120),
            *planning.SUMMARY,
        ),
        source=f"warehouse.known_person p {planning.OF_PERSON}",
        where="p.is_anchor",
        ids={"person_id": "p.person_id", "representative_id": "o.representative_id"},
        separated_from="person",
    )


def _individual(settings: Settings) -> list[CrmObject]:
    """Return the mappings of a person as an account and a contact.

    The owner of a financial account must be an account that is not a household. A relation to a household needs a contact.
    """
    account = CrmObject(
        entity="person",
        sobject=ACCOUNT,
        key_field=settings.key_of(ACCOUNT),
        key=key("person", "p"),
        fields=(
            always("RecordType.DeveloperName", "IndustriesIndividual"),
            always("FinServ__IndividualType__c", "Individual"),
            shared(text("Name", "p.name", 255)),
            *planning.SUMMARY,
        ),
        source=f"warehouse.known_person p {planning.OF_PERSON}",
        where="p.is_anchor",
        ids={"person_id": "p.person_id", "representative_id": "o.representative_id"},
        separated_from="person",
    )
    contact = CrmObject(
        entity="contact",
        sobject=CONTACT,
        key_field=settings.key_of(CONTACT),
        key=key("person", "p"),
        fields=(
            link(settings, "Account", ACCOUNT, key("person", "p"), "person"),
            shared(text("FirstName", "p.first_name", 40)),
            shared(text("LastName", "coalesce(p.last_name, p.name)", 80)),
            day("Birthdate", "p.birth_date"),
        ),
        source="warehouse.known_person p",
        where="p.is_anchor",
        ids={"person_id": "p.person_id"},
    )
    return [account, contact]


# Salesforce does not let the two ends of a relation change. So a person who moves to another household gets a new relation, and the old
# one becomes inactive.
def _membership(settings: Settings) -> CrmObject:
    contact = link(settings, "Contact", CONTACT, key("person", "p"), "contact")
    if settings.persons == "person_accounts":  # the contact half of a record that is sent as an account
        contact = replace(contact, links_to=ACCOUNT, entities=("person",))
    return CrmObject(
        entity="membership",
        sobject=RELATION,
        key_field=settings.key_of(RELATION),
        key="(:firm || ':' || p.vendor || ':membership:' || p.person_key || ':' || h.household_key)",
        fields=(
            once(contact),
            once(link(settings, "Account", ACCOUNT, key("household", "h"), "household")),
            once(always("Roles", "Client")),
            flag("IsActive", "true", when_gone="false"),
            flag("FinServ__PrimaryGroup__c", "true", when_gone="false"),
            flag("FinServ__IncludeInGroup__c", "true", when_gone="false"),
        ),
        source="""
            warehouse.known_person p
            join warehouse.known_household h on h.household_id = p.household_id
        """,
        where="p.is_anchor",
        parent=f"Account.{settings.key_of(ACCOUNT)}",
        died_as="person",
        same_if=(contact.name, f"Account.{settings.key_of(ACCOUNT)}"),
        stays_if=legal_entity.is_awaited(ACCOUNT),
    )


# One record per security, even if several vendors have it. Salesforce requires unique names, ignoring case. Of several securities with the
# same name, the first keeps the name, and the others add their key to it. A security also adds its key if another record in Salesforce
# already has its name, such as a record from before two vendors' securities were matched.
def _security(settings: Settings) -> CrmObject:
    name = clean("s.name", 150)
    return CrmObject(
        entity="security",
        sobject=SECURITY,
        key_field=settings.key_of(SECURITY),
        key=key("security", "s"),
        fields=(
            text("Name", "coalesce(s.ticker, s.cusip, s.security_key)", 80),
            text(
                "FinServ__SecuritiesName__c",
                "case when s.is_first then s.name"
                " else left(s.name, 110) || ' (' || s.vendor || ' ' || s.security_key || ')' end",
                150,
            ),
            text("FinServ__CUSIP__c", "case when length(s.cusip) = 9 then s.cusip end", 9),
            text("FinServ__AssetClass__c", "s.asset_class", 255),
        ),
        source=f"""
            (select s.*, o.external_key is null
                    and row_number() over (partition by lower({name}) order by s.identity_id) = 1 as is_first
             from warehouse.known_security s
             left join (
                 select distinct on (name) lower(payload ->> 'FinServ__SecuritiesName__c') as name, external_key
                 from control.crm_state where sobject = '{SECURITY}' and missing is null order by 1, 2
             ) o on o.name = lower({name}) and o.external_key <> {key("security", "s")}
             where s.is_anchor) s
        """,  # noqa: S608
        ids={"security_id": "s.security_id"},
    )


# A custodial parent of sleeves is not counted: its sleeves show the same assets. A closed account that the vendor no longer values
# is worth 0. An open account without a value today (its row is a dead letter) keeps its value in Salesforce.
def _worth(name: str, sql: str) -> Field:
    worth = f"case when a.is_counted then coalesce({sql}, case when not a.is_active then 0 end) end"
    return daily(
        money(name, worth, unknown=f"a.is_counted is not false and a.is_active is not false and {sql} is null")
    )


# The largest share first; joint owners, who have no share, last.
_OWNERS = f"""
    select o.account_id, o.person_id, o.legal_entity_id, row_number() over (
               partition by o.account_id order by coalesce(o.role = 'joint', false), o.share_ratio desc, o.account_owner_key) as nth
    from warehouse.account_owner o where {current("o")} and num_nonnulls(o.person_id, o.legal_entity_id) > 0
"""  # noqa: S608


def _account(settings: Settings) -> CrmObject:
    return CrmObject(
        entity="account",
        sobject=FINANCIAL_ACCOUNT,
        key_field=settings.key_of(FINANCIAL_ACCOUNT),
        key=key("account", "a"),
        fields=(
            once(always("RecordType.DeveloperName", "InvestmentAccount")),
            shared(text("Name", "a.name", 80)),
            link(
                settings,
                "FinServ__PrimaryOwner__r",
                ACCOUNT,
                f"coalesce({key('legal_entity', 'l')}, {key('person', 'p')})",
                "legal_entity",
                "person",
            ),
            link(
                settings,
                "FinServ__JointOwner__r",
                ACCOUNT,
                f"coalesce({key('legal_entity', 'k')}, {key('person', 'j')})",
                "legal_entity",
                "person",
            ),
            link(settings, "FinServ__Household__r", ACCOUNT, key("household", "h"), "household"),
            shared(text("FinServ__FinancialAccountType__c", "a.account_type", 255)),
            Field("FinServ__FinancialAccountNumber__c", "'xxxx' || a.account_number_last4", length=8, is_masked=True),
            choice(
                "FinServ__Status__c",
                "case when a.is_active then 'Open' when not a.is_active then 'Closed' end",
                "Open",
                "Closed",
            ),
            day("FinServ__OpenDate__c", "a.open_date"),
            day("FinServ__CloseDate__c", "a.close_date"),
            flag("FinServ__Managed__c", "a.is_managed"),
            flag("FinServ__Discretionary__c", "a.is_discretionary"),
            _worth("FinServ__Balance__c", "v.market_value_usd"),
            _worth("FinServ__CashBalance__c", "v.cash_usd"),
        ),
        source=f"""
            warehouse.account a
            left join ({_OWNERS}) first on first.account_id = a.account_id and first.nth = 1
            left join ({_OWNERS}) second on second.account_id = a.account_id and second.nth = 2
            left join warehouse.known_person p on p.person_id = first.person_id
            left join warehouse.known_person j on j.person_id = second.person_id and j.identity_id is distinct from p.identity_id
            left join warehouse.known_legal_entity l on l.legal_entity_id = first.legal_entity_id
            left join warehouse.known_legal_entity k on k.legal_entity_id = second.legal_entity_id
                  and k.identity_id is distinct from l.identity_id
            left join warehouse.known_household h on h.household_id = a.household_id
            left join {PRESENT_DAY} d on d.vendor = a.vendor
            left join warehouse.account_value v on v.business_date = d.business_date and v.vendor = d.vendor
                  and v.account_id = a.account_id and v.recorded_to is null
        """,
        where=f"{current('a')} and {is_no_copy('a.account_id')}",
        ids={
            "account_id": "a.account_id",
            "registration_id": "a.registration_id",
            "representative_id": "a.representative_id",
        },
        parent=f"FinServ__PrimaryOwner__r.{settings.key_of(ACCOUNT)}",
        closed_by=("FinServ__Status__c", "Closed"),
        worth="FinServ__Balance__c",
    )


def _position(settings: Settings) -> CrmObject:
    return CrmObject(
        entity="position",
        sobject=HOLDING,
        key_field=settings.key_of(HOLDING),
        key=key("position", "p"),
        fields=(
            text("Name", "coalesce(s.name, s.ticker)", 80),
            link(settings, "FinServ__FinancialAccount__r", FINANCIAL_ACCOUNT, key("account", "a"), "account"),
            link(settings, "FinServ__Securities__r", SECURITY, key("security", "s"), "security"),
            link(settings, "FinServ__Household__r", ACCOUNT, key("household", "h"), "household"),
            text("FinServ__AssetClass__c", "s.asset_class", 255),
            number("FinServ__Shares__c", "p.quantity", 4, when_gone="0.0000"),
            daily(number("FinServ__Price__c", "p.price_usd", 4)),
            daily(money("FinServ__MarketValue__c", "p.market_value_usd", when_gone="0.00")),
            daily(money("FinServ__GainLoss__c", "p.market_value_usd - p.cost_basis_usd", when_gone="0.00")),
        ),
        source=f"""
            {PRESENT_DAY} d
            join warehouse.position p on p.business_date = d.business_date and p.vendor = d.vendor and p.recorded_to is null
            left join warehouse.account a on a.account_id = p.account_id and {current("a")}
            left join warehouse.known_security s on s.security_id = p.security_id
            left join warehouse.known_household h on h.household_id = a.household_id
        """,
        where=f"a.is_counted is not false and {is_no_copy('p.account_id')}",
        ids={"account_id": "p.account_id", "security_id": "p.security_id"},
        parent=f"FinServ__FinancialAccount__r.{settings.key_of(FINANCIAL_ACCOUNT)}",
        worth="FinServ__MarketValue__c",
    )


# A transaction that was never posted is not sent. One that was sent stays up to date, whatever its age and status.
def _transaction(settings: Settings) -> CrmObject:
    return CrmObject(
        entity="transaction",
        sobject=TRANSACTION,
        key_field=settings.key_of(TRANSACTION),
        key=key("transaction", "t"),
        fields=(
            link(settings, "FinServ__FinancialAccount__r", FINANCIAL_ACCOUNT, key("account", "a"), "account"),
            noon("FinServ__TransactionDate__c", "t.trade_date"),
            money("FinServ__Amount__c", "coalesce(t.amount_usd, 0)"),
            choice(
                "FinServ__TransactionType__c",
                "case when t.amount_usd < 0 then 'Debit' else 'Credit' end",
                "Debit",
                "Credit",
            ),
            choice(
                "FinServ__TransactionStatus__c",
                "case when t.status = 'posted' then 'Posted' else 'Cancelled' end",
                "Posted",
                "Cancelled",
                when_gone="Cancelled",
            ),
            noon("FinServ__PostDate__c", "t.settle_date"),
            text("FinServ__Description__c", "coalesce(t.description, t.transaction_type)", 255),
        ),
        source=f"""
            {PRESENT_DAY} d
            join warehouse.transaction t on t.vendor = d.vendor and t.recorded_to is null
            join warehouse.account a on a.account_id = t.account_id and {current("a")} and a.is_counted is not false and {is_no_copy("a.account_id")}
        """,
        where=f"""
            t.trade_date between d.business_date - {int(settings.transaction_days)} and d.business_date
                and t.status in ('posted', 'reversed')
            or exists (select from control.crm_state s where s.sobject = '{TRANSACTION}'
                       and s.external_key = {key("transaction", "t")})
        """,
        ids={"account_id": "t.account_id", "security_id": "t.security_id"},
        parent=f"FinServ__FinancialAccount__r.{settings.key_of(FINANCIAL_ACCOUNT)}",
    )
