"""Settle doubts about legal entities by their accounts and addresses."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from include.crm.adoption.match import Candidate, Matches, Unit
from include.names.words import lexicon, plain


@dataclass(frozen=True)
class Named:
    """What is known of a legal entity: the distinctive words of its name, and its address."""

    words: frozenset[str]
    place: tuple[str, str] | None

    @classmethod
    def read(cls, name: str | None, street: str | None, postal_code: str | None) -> Named:
        """Read a name and an address."""
        words = frozenset(plain(name).replace(",", " ").split()) - _COMMON_WORDS
        return cls(words, (plain(street), postal_code[:5]) if street and postal_code else None)


def settle_entities(
    units: Sequence[Unit], named: Mapping[int, Named], shared: Mapping[tuple[str, str], int], keys: Mapping[int, str]
) -> None:
    """Settle doubts about legal entities: with the account of the same number, or at the same address, one word of the name is enough.

    Nobody else on either side may be meant.

    Args:
        units: The org's legal entities, matched, with `record` as their id in `named`.
        named: Name and address of the legal entities of both sides, by identity or record.
        shared: Pairs of a Salesforce id of an owner and an owner of ours (`e` and the id) -> number of accounts with equal numbers.
        keys: Our legal entity -> our key.
    """
    at: dict[tuple[str, str], set[int]] = defaultdict(set)
    for entity in keys:
        if entity in named and (place := named[entity].place):
            at[place].add(entity)
    owners: dict[str, set[int]] = defaultdict(set)
    for theirs, ours in shared:
        if ours.startswith("e") and int(ours[1:]) in keys:
            owners[theirs].add(int(ours[1:]))
    near = [_list_near(unit, named, at, owners[unit.records["Account"]], keys) for unit in units]
    times = Counter(each.identity for candidates in near for each in candidates)
    for unit, candidates in zip(units, near, strict=True):
        if any(each.is_sure for each in unit.matches.same):
            continue
        unit.matches = Matches()
        for each in candidates:
            is_only = (
                len(candidates) == 1
                and times[each.identity] == 1
                and not {"tax id", "date", "kind"} & set(each.differed)
            )
            is_sure = is_only and any(one <= set(each.agreed) for one in _ENOUGH)
            unit.matches.add(replace(each, is_same=each.is_same or is_sure, is_sure=is_sure))


def _list_near(
    unit: Unit,
    named: Mapping[int, Named],
    at: Mapping[tuple[str, str], set[int]],
    own: set[int],
    keys: Mapping[int, str],
) -> list[Candidate]:
    """Return what a legal entity of the org may be: what the comparison named, the owner of its account, or one at its address."""
    theirs = named[unit.record]
    candidates = []
    known = {each.identity: each for each in (*unit.matches.same, *unit.matches.doubts)}
    for entity in sorted({*known, *own, *(at.get(theirs.place, ()) if theirs.place else ())}):
        words = theirs.words & named[entity].words if entity in named else frozenset()
        if not words and entity not in known:
            continue
        extra = [
            *(["account"] if entity in own else []),
            *(["address"] if theirs.place and entity in named and named[entity].place == theirs.place else []),
            *(["words of the name"] if words else []),
        ]
        each = known.get(entity) or Candidate(keys[entity], entity, 0.0, (), (), is_same=False, is_sure=False)
        candidates.append(replace(each, agreed=(*extra, *each.agreed)))
    return candidates


_COMMON_WORDS = lexicon("the trust family revocable rev tr living and & llc inc foundation estate of")
_ENOUGH = (
    {"account", "words of the name"},
    {"address", "words of the name"},
    {"name", "home"},
    {"name", "zip"},
    {"name (close)", "home"},
    {"name (part)", "home"},
)
"""What must agree between a legal entity of the org and the only one of ours that it may be."""
