"""Kinds of errors in the records of a full org, and kinds of records that are not clients, each with its share."""

import itertools
import random
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of record, or of error in a record.

    Attributes:
        name: Its name in the truth.
        share: Its share (0-1) of the records to which it can apply; for a kind in `UNRELATED`, the number per household of the firm.
        meaning: Its description.
    """

    name: str
    share: float
    meaning: str


HOUSEHOLDS = (
    Kind("absent", 0.05, "the household, its people and accounts were never typed in"),
    Kind("couple", 0.06, "both people are one record: John & Mary Doe"),
    Kind("renamed", 0.3, "the household has another name than at the vendors: The Doe Family"),
    Kind("duplicate_household", 0.04, "a second record of the household"),
    Kind("moved", 0.05, "an advisor entered a new address last week, which no vendor has"),
    Kind("other_owner", 0.15, "the records belong to an assistant or a former advisor"),
)
PEOPLE = (
    Kind("absent_person", 0.04, "the household is in the org, and this person is not"),
    Kind("typo", 0.08, "a typing error in the first or the last name"),
    Kind("former_name", 0.12, "a wife has her name from before the wedding"),
    Kind("nickname", 0.15, "the other form of a first name"),
    Kind("no_birth_date", 0.15, "no birth date"),
    Kind("wrong_birth_date", 0.04, "day and month of birth swapped, or another day"),
    Kind("other_email", 0.15, "an e-mail address that no vendor has"),
    Kind("no_email", 0.15, "no e-mail address"),
    Kind("old_address", 0.08, "an old address"),
    Kind("duplicate", 0.05, "a second record of the person"),
    Kind("new_phone", 0.04, "an advisor entered a new mobile number last week"),
    Kind("new_email", 0.04, "an advisor entered a new e-mail address last week"),
    Kind("new_name", 0.04, "an advisor entered a new last name last week, after a wedding"),
    Kind("lead", 0.04, "the person is also a lead, from before the first meeting"),
    Kind("namesake_son", 0.1, "a son with the father's name and address, who is not a client"),
    Kind("namesake", 0.04, "a stranger with the same name, who is not a client"),
    Kind("twin", 0.04, "a twin with the same last name, birth date and address, who is not a client"),
)
ACCOUNTS = (
    Kind("absent_account", 0.4, "the account was never typed in"),
    Kind("masked_number", 0.4, "of the account number, only the last four digits: xxxx1234"),
    Kind("number_in_name", 0.2, "the last four digits of the account number are in the record's name only"),
    Kind("no_number", 0.08, "no account number"),
    Kind("duplicate_account", 0.02, "a second record of the account"),
)
ENTITIES = (
    Kind("absent_entity", 0.15, "the trust was never typed in"),
    Kind("short_name", 0.4, "a short form of the trust's name"),
    Kind("typo_in_entity", 0.25, "a typing error in the trust's name"),
)
UNRELATED = (
    Kind("member", 0.5, "a child in a client's household"),
    Kind("held_elsewhere", 0.4, "a client's account at a custodian that no vendor has"),
    Kind("former_client", 0.1, "a former client with household and closed account"),
    Kind("prospect", 0.5, "a person who never became a client"),
    Kind("cold_lead", 1.0, "a lead that became nothing"),
    Kind("influence", 0.3, "a lawyer or accountant who recommends the firm, at a business"),
    Kind("supplier", 0.1, "a business that the firm buys from, with a contact"),
)
KINDS = {kind.name: kind for kind in (*HOUSEHOLDS, *PEOPLE, *ACCOUNTS, *ENTITIES, *UNRELATED)}

NEWER = frozenset({"moved", "new_phone", "new_email", "new_name"})
"""The kinds whose record has a value that is newer than the vendors'."""


class Picker:
    """Selects the records of each kind: of a kind with the share 0.04, one of every 25 records to which it can apply.

    So each kind also occurs in a small firm.
    """

    def __init__(self, seed: int) -> None:
        self._picks = {kind.name: _list_picks(kind, seed) for kind in KINDS.values()}

    def is_next(self, name: str) -> bool:
        """Return whether the next record to which this kind can apply is of this kind."""
        return self.count(name) > 0

    def count(self, name: str) -> int:
        """Return how many records of this kind the next household has."""
        return next(self._picks[name])


def _list_picks(kind: Kind, seed: int) -> Iterator[int]:
    """Yield for each record in turn how many records of the kind there are."""
    share = Fraction(str(kind.share))
    whole, rest = divmod(share.numerator, share.denominator)
    for block in itertools.count():
        draw = random.Random(f"{seed}:full org:{kind.name}:{block}")
        picked = set(draw.sample(range(share.denominator), rest))
        yield from (whole + (place in picked) for place in range(share.denominator))
