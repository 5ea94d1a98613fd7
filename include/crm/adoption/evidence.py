"""Accounts as evidence: two accounts with the same complete number suggest that their owners and households are the same."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import sqlalchemy as sa

from include.crm.adoption.candidates import Decisions
from include.crm.objects.mapping import CrmObject
from include.identity.account import read_words
from include.names.words import plain

_OURS = sa.text("""
select a.account_id, a.account_number_hash as number_hash, a.account_number_last4 as last4, a.custodian, a.account_type, a.open_date::text, h.identity_id as household,
       array_remove(array_agg('p' || p.identity_id) || array_agg('e' || l.identity_id), null) as owners
from warehouse.account a
left join warehouse.known_household h on h.household_id = a.household_id
left join warehouse.account_owner o on o.account_id = a.account_id and o.recorded_to is null and o.valid_to is null
left join warehouse.known_person p on p.person_id = o.person_id
left join warehouse.known_legal_entity l on l.legal_entity_id = o.legal_entity_id
where a.recorded_to is null and a.valid_to is null and not a.is_past_only group by 1, 2, 3, 4, 5, 6, 7 order by 1
""")
# The owners are the lookups of the account, or records of their own that connect the two.
OWNERS = """
select r.salesforce_id as account_id, r.links ->> lookup as owner
from control.org_record r cross join unnest(cast(:owners as text[])) lookup
where r.entity = 'account' and r.links ->> lookup is not null
union select r.links ->> 'FinancialAccount', r.links ->> 'Account' from control.org_record r
where r.entity = 'account_owner' and r.payload ->> 'Role' ~* 'owner' and coalesce((r.payload ->> 'RoleEndDate')::date > current_date, true)
"""
"""SQL of the owners of all financial accounts of the org: the Salesforce ids of an account and of an owner."""

_THEIRS = sa.text(f"""
select salesforce_id, external_key, name, number_hash, number_last4 as last4, payload ->> :account_type as account_type,
       payload ->> :open_date as open_date, links ->> :household as household, coalesce(o.owners, '{{}}') as owners
from control.org_record a
left join (select account_id, array_agg(owner order by owner) as owners from ({OWNERS}) o group by 1) o on o.account_id = a.salesforce_id
where entity = 'account' order by 1
""")  # noqa: S608


@dataclass(frozen=True, slots=True)
class OurAccount:
    """One of our accounts. `owners` are our ids: `p` and the id of a person, or `e` and the id of a legal entity."""

    identity: int
    key: str
    number_hash: str | None
    last4: str | None
    custodian: frozenset[str]
    account_type: str
    open_date: str | None
    household: int | None
    owners: frozenset[str]


@dataclass(frozen=True, slots=True)
class TheirAccount:
    """A financial account of the org. `owners` and `household` are Salesforce ids."""

    salesforce_id: str
    external_key: str | None
    words: frozenset[str]
    number_hash: str | None
    last4: str | None
    account_type: str
    open_date: str | None
    household: str | None
    owners: tuple[str, ...]


@dataclass
class Accounts:
    """The accounts of both sides.

    Attributes:
        ours: Our accounts that the sync sends.
        theirs: The org's accounts.
        equal: Pairs with an equal complete number that no other account has.
    """

    ours: list[OurAccount] = field(default_factory=list)
    theirs: list[TheirAccount] = field(default_factory=list)
    equal: list[tuple[TheirAccount, OurAccount]] = field(default_factory=list)

    def count_shared_owners(self) -> dict[tuple[str, str], int]:
        """Return (Salesforce id of an owner, our id of an owner) -> their number of equal accounts."""
        return Counter((theirs, ours) for left, right in self.equal for theirs in left.owners for ours in right.owners)


def name_fields(account: CrmObject | None) -> dict[str, str | list[str]]:
    """Return the parameters of queries of the org's financial accounts: the names of their fields and lookups in the mapping."""
    fields = account.fields if account else ()
    of_sql = {
        name: next((f.name for f in fields if f"a.{name}" in f.sql), "") for name in ("account_type", "open_date")
    }
    links = {f.name.partition(".")[0]: f.entities for f in fields if f.links_to}
    household = next((name for name, entities in links.items() if entities == ("household",)), "")
    return {**of_sql, "household": household, "owners": [name for name in links if name != household]}


def read_accounts(
    db: sa.Connection, keys: Mapping[int, str], decided: Decisions, names: Mapping[str, str | list[str]]
) -> Accounts:
    """Read the accounts of both sides.

    Args:
        db: The database, in a transaction, after the org was read.
        keys: Our account id -> our key.
        decided: The reviewers' decisions. A pair that a reviewer has refused is not equal.
        names: The names of the org's fields, from `name_fields`.
    """
    accounts = Accounts(
        [
            OurAccount(
                row.account_id, keys[row.account_id], row.number_hash, row.last4, frozenset(read_words(row.custodian)),
                plain(row.account_type), row.open_date, row.household, frozenset(row.owners),
            )
            for row in db.execute(_OURS)
            if row.account_id in keys
        ],
        [
            TheirAccount(
                row.salesforce_id, row.external_key, frozenset(read_words(row.name)), row.number_hash, row.last4,
                plain(row.account_type), row.open_date, row.household, tuple(row.owners),
            )
            for row in db.execute(_THEIRS, names)
        ],
    )  # fmt: skip
    accounts.equal = list(_find_equal(accounts, decided))
    return accounts


def _find_equal(accounts: Accounts, decided: Decisions) -> Iterator[tuple[TheirAccount, OurAccount]]:
    ours: dict[str, list[OurAccount]] = defaultdict(list)
    theirs: Counter[str] = Counter()
    for each in accounts.ours:
        if each.number_hash:
            ours[each.number_hash].append(each)
    for other in accounts.theirs:
        if other.number_hash:
            theirs[other.number_hash] += 1
    for other in accounts.theirs:
        found = ours.get(other.number_hash or "", [])
        is_only = len(found) == 1 and theirs[other.number_hash or ""] == 1
        if is_only and decided.get(other.salesforce_id, {}).get(found[0].key) is not False:
            yield other, found[0]
