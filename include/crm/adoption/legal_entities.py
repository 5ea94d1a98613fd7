"""Resolve doubtful matches of legal entities by their accounts and addresses."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from include.crm.adoption.candidates import MOST_LOOKALIKES, Candidate, Decisions, Matches, Unit, is_refused, look_alike
from include.names.words import lexicon, plain


@dataclass(frozen=True)
class Named:
    """The distinctive words of a legal entity's name, and its address."""

    words: frozenset[str]
    kinds: frozenset[str]
    place: tuple[str, str] | None

    @property
    def name(self) -> tuple[frozenset[str], frozenset[str]]:
        """What distinguishes the name from others."""
        return self.words, self.kinds

    @classmethod
    def read(cls, name: str | None, street: str | None, postal_code: str | None) -> Named:
        """Build the features from a name and an address."""
        words = frozenset(plain(name).replace(",", " ").split())
        kinds = frozenset(_KINDS[word] for word in words if word in _KINDS)
        return cls(words - _COMMON_WORDS, kinds, (plain(street), postal_code[:5]) if street and postal_code else None)


def settle_entities(
    units: Sequence[Unit],
    named: Mapping[int, Named],
    shared: Mapping[tuple[str, str], int],
    keys: Mapping[int, str],
    decided: Decisions,
) -> None:
    """Resolve doubtful matches of legal entities.

    Two legal entities are the same if they have an account with the same number and one common word in the name, or the same address and
    two common words, and if no other legal entity on either side fits. If only the names agree, and the ZIP code, no other legal entity on
    either side may have that name.

    Args:
        units: The org's legal entities, matched, with `record` as their id in `named`.
        named: Name and address of the legal entities of both sides, by identity or record.
        shared: (Salesforce id of an owner, `e` and our id of an owner) -> number of accounts with equal numbers.
        keys: Our legal entity id -> our key.
        decided: The reviewers' decisions.
    """
    near = _list_all_near(units, named, shared, keys, decided)
    times = Counter(each.identity for candidates in near for each in candidates)
    ours, theirs = (Counter(named[n].name for n in side if n in named) for side in (keys, [u.record for u in units]))
    for unit, candidates in zip(units, near, strict=True):
        firm = {each.identity for each in candidates if not _has_only_name(unit, each, named, (ours, theirs))}
        if any(each.is_sure and each.identity in firm for each in unit.matches.same):
            continue
        unit.matches = Matches()
        is_only = len(candidates) == 1 and times[candidates[0].identity] == 1
        for each in candidates:
            is_sure = is_only and each.identity in firm and _agrees_enough(each)
            # A second record of the org with this name may be a duplicate, which a person resolves.
            is_same = is_sure or (each.is_same and not _has_only_name(unit, each, named, (ours,)))
            unit.matches.add(replace(each, is_same=is_same, is_sure=is_sure))


def _list_all_near(
    units: Sequence[Unit],
    named: Mapping[int, Named],
    shared: Mapping[tuple[str, str], int],
    keys: Mapping[int, str],
    decided: Decisions,
) -> list[list[Candidate]]:
    """Return the candidates for each of the org's legal entities; for the arguments, see `settle_entities`."""
    at: dict[tuple[str, str], set[int]] = defaultdict(set)
    for entity in keys:
        if entity in named and (place := named[entity].place):
            at[place].add(entity)
    owners: dict[str, set[int]] = defaultdict(set)
    for theirs, ours in shared:
        if ours.startswith("e") and int(ours[1:]) in keys:
            owners[theirs].add(int(ours[1:]))
    near = ((unit, _list_near(unit, named, at, owners[unit.records["Account"]], keys)) for unit in units)
    return [[each for each in all_near if not is_refused(unit, each.external_key, decided)] for unit, all_near in near]


def _has_only_name(
    unit: Unit,
    candidate: Candidate,
    named: Mapping[int, Named],
    sides: Sequence[Counter[tuple[frozenset[str], frozenset[str]]]],
) -> bool:
    """Return whether a candidate agrees in no value of `_FIRM`, and one of the sides has another legal entity with its name."""
    names = [named[end].name for end in (unit.record, candidate.identity) if end in named]
    is_firm = candidate.is_settled or bool(_FIRM & set(candidate.agreed))
    return not is_firm and any(side[name] > 1 for side in sides for name in names)


def _agrees_enough(candidate: Candidate) -> bool:
    """Return whether the only candidate of a legal entity is the same."""
    agreed = set(candidate.agreed)
    return not {"tax id", "date", "kind"} & set(candidate.differed) and any(each <= agreed for each in _ENOUGH)


def find_lookalikes(
    units: Sequence[Unit], named: Mapping[int, Named], keys: Mapping[int, str], decided: Decisions
) -> dict[str, list[Candidate]]:
    """Return our unmatched legal entities that look like an unmatched one of the org: the words of one name are part of the other.

    Args:
        units: The org's legal entities, matched, with `record` as their id in `named`.
        named: Name and address of the legal entities of both sides, by identity or record.
        keys: Our legal entity -> our key.
        decided: The reviewers' decisions.

    Returns:
        Our key -> the legal entities of the org, up to `MOST_LOOKALIKES`, as `look_alike` returns them.
    """
    found = {unit.matches.only.external_key for unit in units if unit.matches.only}
    index: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        if unit.is_foreign and not unit.matches.same:
            for word in named[unit.record].words:
                index[word].append(unit)
    lookalikes = {}
    for entity, key in keys.items():
        if key in found or entity not in named:
            continue
        near = {unit.record: unit for word in named[entity].words for unit in index.get(word, ())}
        others = [
            look_alike(unit, "words of the name")
            for unit in near.values()
            if _is_part(named[unit.record], named[entity]) and not is_refused(unit, key, decided)
        ]
        if others:
            lookalikes[key] = others[:MOST_LOOKALIKES]
    return lookalikes


def _is_part(left: Named, right: Named) -> bool:
    """Return whether one name has all distinctive words of the other, and neither is of another kind."""
    is_other = bool(left.kinds and right.kinds and not left.kinds & right.kinds)
    return not is_other and (left.words <= right.words or right.words <= left.words)


def _list_near(
    unit: Unit,
    named: Mapping[int, Named],
    at: Mapping[tuple[str, str], set[int]],
    own: set[int],
    keys: Mapping[int, str],
) -> list[Candidate]:
    """Return the candidates for an org's legal entity: those of the comparison, the owners of its accounts, and those at its address."""
    theirs = named[unit.record]
    candidates = []
    known = {each.identity: each for each in (*unit.matches.same, *unit.matches.doubts)}
    for entity in sorted({*known, *own, *(at.get(theirs.place, ()) if theirs.place else ())}):
        words = theirs.words & named[entity].words if entity in named else frozenset()
        if not words and entity not in known:
            continue
        kinds = named[entity].kinds if entity in named else frozenset()
        is_other = bool(theirs.kinds and kinds and not theirs.kinds & kinds)
        extra = [
            *(["account"] if entity in own else []),
            *(["address"] if theirs.place and entity in named and named[entity].place == theirs.place else []),
            *(["words of the name"] if words else []),
            *(["two words of the name"] if len(words) > 1 else []),
        ]
        each = known.get(entity) or Candidate(keys[entity], entity, 0.0, (), (), is_same=False, is_sure=False)
        differed = (*each.differed, *(["kind"] if is_other and "kind" not in each.differed else []))
        candidates.append(replace(each, agreed=(*extra, *each.agreed), differed=differed))
    return candidates


_COMMON_WORDS = lexicon("the trust family revocable rev tr living and & llc inc foundation estate of")
_KINDS = {
    "trust": "trust", "tr": "trust", "llc": "company", "inc": "company", "lp": "company", "corp": "company", "foundation": "foundation",
    "estate": "estate",
}  # fmt: skip
_ENOUGH = (
    {"account", "words of the name"},
    {"address", "two words of the name"},
    {"name", "home"},
    {"name", "zip"},
    {"name (close)", "home"},
    {"name (part)", "home"},
)
"""The values that agree between an org's legal entity and its only candidate."""
_FIRM = {"account", "address", "home", "tax id"}
"""Values of which one must agree beside a name that several legal entities have: namesakes may live in one ZIP code."""
