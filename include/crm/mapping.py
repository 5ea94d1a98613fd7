"""What Salesforce should hold: objects of Financial Services Cloud (managed package), one field a line.

Every object starts from the warehouse's present state. Values are brought to Salesforce's own precision here, before
they are compared, so that a rounding difference is no change. A field that would change every day by itself (a "last
updated" date) is not mapped: it would send every row every day.
"""

from __future__ import annotations

from dataclasses import dataclass

KEY_FIELD = "Tributary_Key__c"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a Salesforce object.

    Attributes:
        name: Its API name; with a dot, a parent named by our key.
        sql: Gives its text as it is sent; null clears the field.
        when_gone: What it becomes once the record is no longer in the vendor's snapshot; None leaves it as it was.
    """

    name: str
    sql: str
    when_gone: str | None = None

    @property
    def is_link(self) -> bool:
        """Whether it names another record."""
        return "." in self.name


@dataclass(frozen=True, slots=True)
class CrmObject:
    """One kind of record.

    Attributes:
        entity: Canonical entity that it shows; part of every key.
        sobject: Salesforce's object.
        key: SQL of the external key, `<firm>:<vendor>:<entity>:<the vendor's key>`.
        fields: What is loaded, without the key.
        source: SQL after `from`. `present_day(vendor, business_date)` is each vendor's latest day loaded as present.
        parent: Field whose children stay together, because Salesforce locks the parent; empty for none.
    """

    entity: str
    sobject: str
    key: str
    fields: tuple[Field, ...]
    source: str
    parent: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The header of its file."""
        return (KEY_FIELD, *(field.name for field in self.fields))

    @property
    def is_written_when_gone(self) -> bool:
        """Whether a record that left the vendor's snapshot is written once more."""
        return any(field.when_gone is not None for field in self.fields)


def key(entity: str, alias: str) -> str:
    """The external key of a row of the warehouse; null where a join found none."""
    return f"(:firm || ':' || {alias}.vendor || ':{entity}:' || {alias}.{entity}_key)"


def current(alias: str) -> str:
    """The version of a description that holds now, as known now."""
    return f"{alias}.valid_to is null and {alias}.recorded_to is null"


def text(name: str, sql: str, length: int) -> Field:
    """A text, cut to the field's length. Salesforce trims, and reads `#N/A` as null: both are done here already."""
    return Field(name, f"nullif(nullif(btrim(left(btrim({sql}), {length})), ''), '#N/A')")


def number(name: str, sql: str, decimals: int, *, when_gone: str | None = None) -> Field:
    """A number of so many decimals."""
    return Field(name, f"round({sql}, {decimals})::text", when_gone)


def money(name: str, sql: str, *, when_gone: str | None = None) -> Field:
    """Dollars and cents."""
    return number(name, sql, 2, when_gone=when_gone)


def day(name: str, sql: str) -> Field:
    """A date."""
    return Field(name, f"{sql}::text")


def flag(name: str, sql: str) -> Field:
    """A checkbox, which knows no null."""
    return Field(name, f"coalesce({sql}, false)::text")


def link(relationship: str, sql: str) -> Field:
    """A lookup, by our key of the other record."""
    return Field(f"{relationship}.{KEY_FIELD}", sql)


def always(name: str, value: str) -> Field:
    """The same value in every record."""
    return Field(name, f"'{value}'::text")


HOUSEHOLD = CrmObject(
    entity="household",
    sobject="Account",
    key=key("household", "h"),
    fields=(
        always("RecordType.DeveloperName", "IndustriesHousehold"),
        always("FinServ__IndividualType__c", "Group"),
        text("Name", "h.name", 255),
        text("FinServ__ClientCategory__c", "h.category", 255),
        Field("FinServ__Status__c", "case when h.is_active then 'Active' when not h.is_active then 'Inactive' end"),
        text("BillingStreet", "h.street", 255),
        text("BillingCity", "h.city", 40),
        text("BillingState", "h.state_code", 80),
        text("BillingPostalCode", "h.postal_code", 20),
        text("BillingCountry", "h.country", 80),
        text("Phone", "h.phone", 40),
    ),
    source=f"warehouse.household h where {current('h')}",
)

PERSON = CrmObject(
    entity="person",
    sobject="Account",
    key=key("person", "p"),
    fields=(
        always("RecordType.DeveloperName", "IndustriesIndividual"),
        always("FinServ__IndividualType__c", "Individual"),
        text("Name", "p.name", 255),
    ),
    source=f"warehouse.person p where {current('p')}",
)

# Salesforce wants the name of a security unique, whatever its case: the first to bear it keeps it, others add a key.
SECURITY = CrmObject(
    entity="security",
    sobject="FinServ__Securities__c",
    key=key("security", "s"),
    fields=(
        text("Name", "coalesce(s.ticker, s.cusip, s.security_key)", 80),
        text(
            "FinServ__SecuritiesName__c",
            "case when s.nth = 1 then s.name"
            " else left(s.name, 110) || ' (' || s.vendor || ' ' || s.security_key || ')' end",
            150,
        ),
        Field("FinServ__CUSIP__c", "case when length(s.cusip) = 9 then s.cusip end"),
        text("FinServ__AssetClass__c", "s.asset_class", 255),
    ),
    source=f"""
        (select s.*, row_number() over (partition by lower(left(btrim(s.name), 150)) order by s.security_id) as nth
         from warehouse.security s where {current("s")}) s
    """,  # noqa: S608
)

# A custodial parent of sleeves is not counted: its sleeves show the same assets. A closed account that the vendor no
# longer values is worth nothing.
_COUNTED = "case when a.is_counted then coalesce({}, case when not a.is_active then 0 end) end"
ACCOUNT = CrmObject(
    entity="account",
    sobject="FinServ__FinancialAccount__c",
    key=key("account", "a"),
    fields=(
        always("RecordType.DeveloperName", "InvestmentAccount"),
        text("Name", "a.name", 80),
        link("FinServ__PrimaryOwner__r", key("person", "p")),
        link("FinServ__Household__r", key("household", "h")),
        text("FinServ__FinancialAccountType__c", "a.account_type", 255),
        Field("FinServ__FinancialAccountNumber__c", "'xxxx' || a.account_number_last4"),
        Field("FinServ__Status__c", "case when a.is_active then 'Open' when not a.is_active then 'Closed' end"),
        day("FinServ__OpenDate__c", "a.open_date"),
        day("FinServ__CloseDate__c", "a.close_date"),
        flag("FinServ__Managed__c", "a.is_managed"),
        flag("FinServ__Discretionary__c", "a.is_discretionary"),
        money("FinServ__Balance__c", _COUNTED.format("v.market_value_usd")),
        money("FinServ__CashBalance__c", _COUNTED.format("v.cash_usd")),
    ),
    source=f"""
        warehouse.account a
        left join (
            select distinct on (o.account_id) o.account_id, o.person_id
            from warehouse.account_owner o where {current("o")}
            order by o.account_id, o.share_ratio desc, o.account_owner_key
        ) o on o.account_id = a.account_id
        left join warehouse.person p on p.person_id = o.person_id and {current("p")}
        left join warehouse.household h on h.household_id = a.household_id and {current("h")}
        left join present_day d on d.vendor = a.vendor
        left join warehouse.account_value v on v.business_date = d.business_date and v.vendor = d.vendor
              and v.account_id = a.account_id and v.recorded_to is null
        where {current("a")}
    """,  # noqa: S608
    parent=f"FinServ__PrimaryOwner__r.{KEY_FIELD}",
)

POSITION = CrmObject(
    entity="position",
    sobject="FinServ__FinancialHolding__c",
    key=key("position", "p"),
    fields=(
        text("Name", "coalesce(s.name, s.ticker)", 80),
        link("FinServ__FinancialAccount__r", key("account", "a")),
        link("FinServ__Securities__r", key("security", "s")),
        link("FinServ__Household__r", key("household", "h")),
        text("FinServ__AssetClass__c", "s.asset_class", 255),
        number("FinServ__Shares__c", "p.quantity", 4, when_gone="0.0000"),
        number("FinServ__Price__c", "p.price_usd", 4),
        money("FinServ__MarketValue__c", "p.market_value_usd", when_gone="0.00"),
        money("FinServ__GainLoss__c", "p.market_value_usd - p.cost_basis_usd", when_gone="0.00"),
    ),
    source=f"""
        present_day d
        join warehouse.position p on p.business_date = d.business_date and p.vendor = d.vendor and p.recorded_to is null
        left join warehouse.account a on a.account_id = p.account_id and {current("a")}
        left join warehouse.security s on s.security_id = p.security_id and {current("s")}
        left join warehouse.household h on h.household_id = a.household_id and {current("h")}
        where a.is_counted is not false
    """,
    parent=f"FinServ__FinancialAccount__r.{KEY_FIELD}",
)

OBJECTS: tuple[CrmObject, ...] = (HOUSEHOLD, PERSON, SECURITY, ACCOUNT, POSITION)
"""Parents before children. A financial account needs an owner who is no household: so persons are accounts too."""
