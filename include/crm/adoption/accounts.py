"""Match the org's financial accounts with our accounts: by number, or by the last four digits and the owner."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from include.crm.adoption.candidates import MOST_LOOKALIKES, Candidate, Decisions, Unit, is_refused, look_alike, settle
from include.crm.adoption.evidence import Accounts, OurAccount, TheirAccount

Owners = Mapping[str, frozenset[str]]
"""Salesforce id of an owner (an Account) -> our ids of the same owner: `p` and the id of a person, or `e` and the id of a legal entity."""

Place = tuple[str, str | int]
"""A group of accounts to compare: `owner` and one of our owners, or `home` and one of our households."""


def match_accounts(
    accounts: Accounts, owners: Owners, homes: Mapping[str, int], sobject: str, decided: Decisions
) -> list[Unit]:
    """Match the org's financial accounts with our accounts.

    Two accounts are the same in these cases:

    - Both have the same complete number. Exception: the owners on both sides are known and differ, and so do their households.
    - The org has only the last four digits, both have a common owner, and custodian, type or open date agrees. If no owner is known, they
      have the same household, and the custodian agrees.
    - The org has no number, both have a common owner, and custodian, type and open date agree.

    Without complete numbers, the match must be the only one for that owner on both sides. Other pairs that agree in most of these values
    are doubtful.

    Args:
        accounts: The accounts of both sides.
        owners: The org's owners.
        homes: Salesforce id of a household -> our id of the same household.
        sobject: Salesforce's object.
        decided: The reviewers' decisions.
    """
    held_by = {
        each.salesforce_id: frozenset[str]().union(*(owners.get(of, frozenset()) for of in each.owners))
        for each in accounts.theirs
    }
    comparison = _Comparison(accounts, held_by, homes)
    all_ours = {each.key: each.identity for each in accounts.ours}
    units = []
    for each in accounts.theirs:
        unit = Unit({sobject: each.salesforce_id}, each.external_key, frozenset([sobject] if each.external_key else []))
        found = {candidate.external_key: candidate for candidate in comparison.find(each)}
        units.append(settle(unit, found, all_ours, decided))
    return units


def find_lookalikes(accounts: Accounts, units: Sequence[Unit], decided: Decisions) -> dict[str, list[Candidate]]:
    """Return our unmatched accounts that look like an unmatched account of the org. The owners are not compared: accounts move between them.

    Two accounts look alike if the last four digits agree, or the org has no number, and the open date and the custodian agree.

    Args:
        accounts: The accounts of both sides.
        units: The org's accounts, matched, in the order of `accounts.theirs`.
        decided: The reviewers' decisions.

    Returns:
        Our key -> the accounts of the org, up to `MOST_LOOKALIKES`, as `look_alike` returns them.
    """
    custodians = frozenset[str]().union(*(each.custodian for each in accounts.ours))
    found = {unit.matches.only.external_key for unit in units if unit.matches.only}
    index: dict[tuple[str | None, str | None], list[tuple[TheirAccount, Unit]]] = defaultdict(list)
    for theirs, unit in zip(accounts.theirs, units, strict=True):
        if unit.is_foreign and not theirs.number_hash and not unit.matches.same and theirs.open_date:
            index[theirs.last4, theirs.open_date].append((theirs, unit))
    lookalikes = {}
    for ours in accounts.ours:
        near = [*index.get((ours.last4, ours.open_date), ()), *index.get((None, ours.open_date), ())]
        others = [
            look_alike(unit, "last four" if theirs.last4 else "no number", "open date", "custodian")
            for theirs, unit in near
            if theirs.words & custodians & ours.custodian and not is_refused(unit, ours.key, decided)
        ]
        if others and ours.key not in found:
            lookalikes[ours.key] = others[:MOST_LOOKALIKES]
    return lookalikes


class _Comparison:
    """Our accounts, by number and by owner.

    Args:
        accounts: The accounts of both sides.
        held_by: Salesforce id of an account -> our ids of its owners.
        homes: Salesforce id of a household -> our id of the same household.
    """

    def __init__(self, accounts: Accounts, held_by: Owners, homes: Mapping[str, int]) -> None:
        self._held_by, self._homes = held_by, homes
        self._by_hash: dict[str, list[OurAccount]] = defaultdict(list)
        self._by_place: dict[Place, list[OurAccount]] = defaultdict(list)
        self._numbered = {ours.identity for _, ours in accounts.equal}
        for each in accounts.ours:
            if each.number_hash:
                self._by_hash[each.number_hash].append(each)
            for owner in each.owners:
                self._by_place["owner", owner].append(each)
            if each.household is not None:
                self._by_place["home", each.household].append(each)
        self._custodians = frozenset[str]().union(*(each.custodian for each in accounts.ours))
        self._times: Counter[tuple[str | None, str | None, Place]] = Counter(
            (each.last4, each.last4 or each.open_date, place)
            for each in accounts.theirs
            for place in self._list_places(each)
            if not each.number_hash
        )

    def find(self, theirs: TheirAccount) -> Iterator[Candidate]:
        """Yield the candidates for an org account."""
        if theirs.number_hash:
            yield from (self._compare_owners(theirs, each) for each in self._by_hash.get(theirs.number_hash, ()))
            return
        owners = self._held_by[theirs.salesforce_id]
        for place in self._list_places(theirs):
            # An account whose number the org has is not a candidate. Without a number, it counts against uniqueness: the org may have it
            # a second time.
            known = [(each, *self._compare_kinds(theirs, each)) for each in self._by_place[place]]
            near = [each for each in known if each[0].identity not in self._numbered]
            if theirs.last4:
                fitting = rivals = [each for each in near if each[0].last4 == theirs.last4]
                needed = {"custodian"} if place[0] == "home" else {"custodian", "type", "open date"}
                found = [(each, agreed, differed, bool(needed & set(agreed))) for each, agreed, differed in fitting]
            else:
                rivals = [each for each in known if len(each[1]) == 3 and _has_type(theirs, each[0])]
                fitting = [each for each in near if each in rivals]
                found = [
                    (each, agreed, differed, True) for each, agreed, differed in fitting or near if len(agreed) > 1
                ]
            is_only = (
                len(fitting) == len(rivals) == 1
                and self._times[theirs.last4, theirs.last4 or theirs.open_date, place] == 1
            )
            has = "last four" if theirs.last4 else "no number"
            for each, agreed, differed, is_known in found:
                if place[0] == "home" and each.owners & owners:
                    continue  # compared with the owner's accounts already
                is_same = is_only and is_known and not differed and (place[0] == "owner" or not owners)
                yield _describe(each, (has, place[0], *agreed), differed, is_same=is_same)

    def _list_places(self, theirs: TheirAccount) -> list[Place]:
        """Return the groups in which to compare an org account: its owners, then its household."""
        owners: list[Place] = [("owner", owner) for owner in sorted(self._held_by[theirs.salesforce_id])]
        home = self._homes.get(theirs.household or "")
        return [*owners, *([("home", home)] if home is not None else [])]

    def _compare_owners(self, theirs: TheirAccount, ours: OurAccount) -> Candidate:
        held_by, home = self._held_by[theirs.salesforce_id], self._homes.get(theirs.household or "")
        is_known = bool(held_by and ours.owners)
        is_same = not is_known or bool(held_by & ours.owners) or (home is not None and home == ours.household)
        return _describe(ours, ("number",), () if is_same else ("owner",), is_same=is_same)

    def _compare_kinds(self, theirs: TheirAccount, ours: OurAccount) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return which of custodian, type and open date agree, and whether the custodian differs.

        A value that one side lacks neither agrees nor differs. A different type or date is ignored: types have many names, and users
        sometimes enter the date of a transfer as the open date.
        """
        named = theirs.words & self._custodians
        custodian = bool(named & ours.custodian) if named and ours.custodian else None
        is_equal = {
            "custodian": custodian,
            "type": bool({*theirs.account_type.split(), *theirs.words} & set(ours.account_type.split())),
            "open date": theirs.open_date is not None and theirs.open_date == ours.open_date,
        }
        return tuple(name for name, value in is_equal.items() if value), ("custodian",) if custodian is False else ()


def _has_type(theirs: TheirAccount, ours: OurAccount) -> bool:
    """Return whether the org's account states each word of our account's type: a Roth IRA is not an IRA Rollover, although both are an IRA."""
    return set(ours.account_type.split()) <= {*theirs.account_type.split(), *theirs.words}


def _describe(account: OurAccount, agreed: tuple[str, ...], differed: tuple[str, ...], *, is_same: bool) -> Candidate:
    return Candidate(account.key, account.identity, 0.0, agreed, differed, is_same=is_same, is_sure=is_same)
