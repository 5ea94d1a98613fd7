"""The rows of the warehouse that are households, persons, accounts and so on in Salesforce, whatever the shape of the org.

A shape (`managed_package`, `standard_objects`, `plain`) says in which object and fields they are shown. Its fields read the aliases that
each comment names.
"""

from __future__ import annotations

from dataclasses import replace

from include.crm.objects import planning
from include.crm.objects.mapping import Field, Rows, choice, clean, current, daily, is_no_copy, key, money
from include.crm.temporary import PRESENT_DAY

ACCOUNT, CONTACT, RELATION = "Account", "Contact", "AccountContactRelation"
"""Objects of every org."""

# `h`, and what `planning.SUMMARY` reads.
HOUSEHOLD = Rows(
    "household",
    key("household", "h"),
    source=f"""
        warehouse.known_household h
        {planning.OF_HOUSEHOLD}
    """,
    where="h.is_anchor",
    ids={"household_id": "h.household_id", "representative_id": "h.representative_id"},
)

# The group that a household's account is: `h`.
RELATIONSHIP_GROUP = Rows(
    "relationship_group",
    "(:firm || ':' || h.vendor || ':relationship_group:' || control.first_key(h.household_key))",
    "warehouse.known_household h",
    where="h.is_anchor",
    ids={"household_id": "h.household_id"},
)

# `p`, and what `planning.SUMMARY` reads.
PERSON = Rows(
    "person",
    key("person", "p"),
    source=f"warehouse.known_person p {planning.OF_PERSON}",
    where="p.is_anchor",
    ids={"person_id": "p.person_id", "representative_id": "o.representative_id"},
    separated_from="person",
)

# The contact of a person who is also an account: `p`.
CONTACT_OF_PERSON = Rows(
    "contact", key("person", "p"), "warehouse.known_person p", where="p.is_anchor", ids={"person_id": "p.person_id"}
)

# The legal entity that the person `s`, or the person of a membership `s`, is now, and that Salesforce does not have yet. The person stays a
# member until then, because the legal entity may wait for approval.
AWAITED = f"""
    exists (select from warehouse.legal_entity l
            where l.vendor = s.vendor and starts_with(s.source_key || ':', l.legal_entity_key || ':') and {current("l")}
              and not exists (select from warehouse.known_legal_entity k
                              join control.crm_state c on c.sobject = '{ACCOUNT}' and c.external_key = {key("legal_entity", "k")}
                              where k.legal_entity_id = l.legal_entity_id))
"""  # noqa: S608

# `p`, a member of `h`.
MEMBERSHIP = Rows(
    "membership",
    "(:firm || ':' || p.vendor || ':membership:' || p.person_key || ':' || h.household_key)",
    source="""
        warehouse.known_person p
        join warehouse.known_household h on h.household_id = p.household_id
    """,
    where="p.is_anchor",
    died_as="person",
    stays_if=AWAITED,
)

# Trusts, estates, companies and foundations, the owners of their accounts: `l`.
LEGAL_ENTITY = Rows(
    "legal_entity",
    key("legal_entity", "l"),
    "warehouse.known_legal_entity l",
    where="l.is_anchor",
    ids={"legal_entity_id": "l.legal_entity_id"},
    separated_from="person",
)

# One record per security, even if several vendors have it: `s`.
SECURITY = Rows(
    "security",
    key("security", "s"),
    "warehouse.known_security s",
    where="s.is_anchor",
    ids={"security_id": "s.security_id"},
)

CUSIP = "case when length(s.cusip) = 9 then s.cusip end"
"""The CUSIP of a security, without others' numbers."""

# The largest share first; joint owners, who have no share, last.
_OWNERS = f"""
    select o.vendor, o.account_owner_key, o.account_id, o.person_id, o.legal_entity_id, row_number() over (
               partition by o.account_id order by coalesce(o.role = 'joint', false), o.share_ratio desc, o.account_owner_key) as nth
    from warehouse.account_owner o where {current("o")} and num_nonnulls(o.person_id, o.legal_entity_id) > 0
"""  # noqa: S608

# `a` with its household `h` and today's value `v`; the first owner is the person `p` or the legal entity `l`, the second `j` or `k`.
FINANCIAL_ACCOUNT = Rows(
    "account",
    key("account", "a"),
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
)

# The person `p` or the legal entity `l` owns the account `a`; `o.nth` is 1 for the largest share. Without it, the account is shown with two owners.
ACCOUNT_OWNER = Rows(
    "account_owner",
    key("account_owner", "o"),
    source=f"""
        (select distinct on (o.account_id, coalesce('e' || l.identity_id, 'p' || p.identity_id)) o.* from ({_OWNERS}) o
         left join warehouse.known_person p on p.person_id = o.person_id
         left join warehouse.known_legal_entity l on l.legal_entity_id = o.legal_entity_id
         order by o.account_id, coalesce('e' || l.identity_id, 'p' || p.identity_id), o.nth) o
        join warehouse.account a on a.account_id = o.account_id and {current("a")} and {is_no_copy("a.account_id")}
        left join warehouse.known_person p on p.person_id = o.person_id
        left join warehouse.known_legal_entity l on l.legal_entity_id = o.legal_entity_id
    """,  # noqa: S608
    where="num_nonnulls(p.person_id, l.legal_entity_id) > 0",
    ids={"account_id": "o.account_id"},
)

OWNER = f"coalesce({key('legal_entity', 'l')}, {key('person', 'p')})"
"""The key of an account's owner, also of the first one of `FINANCIAL_ACCOUNT`."""

JOINT_OWNER = f"coalesce({key('legal_entity', 'k')}, {key('person', 'j')})"
"""The key of the second owner of `FINANCIAL_ACCOUNT`."""

ACCOUNT_NUMBER = "'xxxx' || a.account_number_last4"
"""An account's number, masked."""

# The trustees, custodians, executors and beneficiaries of accounts, as far as they are known persons: `t` is the role of `p` in `a`.
ACCOUNT_ROLE = Rows(
    "account_role",
    "(:firm || ':' || t.vendor || ':account_role:' || t.registration_party_key || ':' || control.first_key(a.account_key))",
    source=f"""
        warehouse.registration_party t
        join warehouse.account a on a.registration_id = t.registration_id and {current("a")} and {is_no_copy("a.account_id")}
        join warehouse.known_person p on p.person_id = t.person_id
    """,
    where=f"{current('t')} and t.role in ('trustee', 'custodian', 'beneficiary', 'executor')",
    died_as="registration_party",
)

ROLE = "case t.role when 'trustee' then 'Trustee' when 'beneficiary' then 'Beneficiary' else 'Other' end"
"""The role of a person in an account."""

# `p` is the holding of the security `s` in the account `a` of the household `h`.
POSITION = Rows(
    "position",
    key("position", "p"),
    source=f"""
        {PRESENT_DAY} d
        join warehouse.position p on p.business_date = d.business_date and p.vendor = d.vendor and p.recorded_to is null
        left join warehouse.account a on a.account_id = p.account_id and {current("a")}
        left join warehouse.known_security s on s.security_id = p.security_id
        left join warehouse.known_household h on h.household_id = a.household_id
    """,
    where=f"a.is_counted is not false and {is_no_copy('p.account_id')}",
    ids={"account_id": "p.account_id", "security_id": "p.security_id"},
)

GAIN = "p.market_value_usd - p.cost_basis_usd"
"""The gain or loss of a holding."""

# A finding of the business rules, about the account `a`, the person `p` or the household `h`. A finding that was closed before it was sent is not
# sent.
FINDING = Rows(
    "finding",
    "(:firm || ':' || f.vendor || ':finding:' || f.finding_id)",
    source=f"""
        control.finding f
        left join warehouse.known_household h on h.household_id = f.household_id
        left join warehouse.known_person p on f.subject_entity = 'person' and p.person_id = f.subject_id
        left join warehouse.account a on f.subject_entity = 'account' and a.account_id = f.subject_id and {current("a")}
    """,
    where="""
        f.closed_at is null
        or exists (select from control.crm_state s where s.sobject = :sobject
                   and s.external_key = :firm || ':' || f.vendor || ':finding:' || f.finding_id)
    """,
    ids={"household_id": "f.household_id"},
)

SEVERITY = "case f.severity when 'critical' then 'Error' when 'warning' then 'Warning' else 'Info' end"
"""The severity of a finding."""

DIRECTION = "case when t.amount_usd < 0 then 'Debit' else 'Credit' end"
"""Whether a transaction takes money out of the account."""

UNIQUE_NAME = (
    "case when s.is_first then s.name else left(s.name, 110) || ' (' || s.vendor || ' ' || s.security_key || ')' end"
)
"""The name of a security of `name_securities`."""


def name_securities(field: str, length: int) -> Rows:
    """Return `SECURITY` for an object that requires unique names, ignoring case.

    Of several securities with the same name, the first keeps the name, and the others add their key to it. A security also adds its key if
    another record in Salesforce already has its name, such as a record from before two vendors' securities were matched.

    Args:
        field: The field of the name.
        length: Its characters.
    """
    name = clean("s.name", length)
    source = f"""
        (select s.*, o.external_key is null
                and row_number() over (partition by lower({name}) order by s.identity_id) = 1 as is_first
         from warehouse.known_security s
         left join (
             select distinct on (name) lower(payload ->> '{field}') as name, external_key
             from control.crm_state where sobject = :sobject and missing is null order by 1, 2
         ) o on o.name = lower({name}) and o.external_key <> {key("security", "s")}
         where s.is_anchor) s
    """  # noqa: S608
    return replace(SECURITY, source=source, where="")


def select_transactions(days: int) -> Rows:
    """Return the rows of the posted transactions `t` of an account `a`, for a number of days back from the latest business date.

    A transaction that was never posted is not sent. One that was sent stays up to date, whatever its age and status. If its account turns
    out to be a copy of another, it stays until the first transaction of that account.
    """
    return Rows(
        "transaction",
        key("transaction", "t"),
        source=f"""
            {PRESENT_DAY} d
            join warehouse.transaction t on t.vendor = d.vendor and t.recorded_to is null
            join warehouse.account a on a.account_id = t.account_id and {current("a")} and a.is_counted is not false
            left join (
                select i.id, min(q.trade_date) as first_day from warehouse.identity i
                join warehouse.transaction q on q.account_id = i.identity_id and q.recorded_to is null
                where i.entity = 'account' and i.recorded_to is null group by 1
            ) original on original.id = a.account_id
        """,  # noqa: S608
        where=f"""
            t.trade_date between d.business_date - {int(days)} and d.business_date
                and t.status in ('posted', 'reversed') and {is_no_copy("a.account_id")}
            or (original.first_day is null or t.trade_date < original.first_day)
                and exists (select from control.crm_state s where s.sobject = :sobject
                       and s.external_key = {key("transaction", "t")})
        """,
        ids={"account_id": "t.account_id", "security_id": "t.security_id"},
    )


def show_posted(name: str, posted: str) -> Field:
    """Return a field that shows whether a transaction is posted, as `posted` or `Cancelled`."""
    sql = f"case when t.status = 'posted' then '{posted}' else 'Cancelled' end"
    return choice(name, sql, posted, "Cancelled", when_gone="Cancelled")


def show_worth(name: str, sql: str) -> Field:
    """Return a field with a value of `FINANCIAL_ACCOUNT`, such as `v.cash_usd`.

    A custodial parent of sleeves is not counted: its sleeves show the same assets. A closed account that the vendor no longer values
    is worth 0, and so is an account that turns out to be a copy of another. An open account without a value today (its row is a dead
    letter) keeps its value in Salesforce.
    """
    value = f"case when a.is_counted then coalesce({sql}, case when not a.is_active then 0 end) end"
    return daily(
        money(
            name,
            value,
            when_gone="0.00",
            unknown=f"a.is_counted is not false and a.is_active is not false and {sql} is null",
        )
    )
