"""Tamarac's groups of accounts, and the members of groups and households.

The members of a household are accounts and reporting groups. The members of a group are accounts and other groups. Billing and
rebalancing groups list the same accounts again for other purposes. So households, groups and accounts form a graph, in which more
than one path can lead to the same account.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

REPORTING, BILLING, REBALANCING = "Reporting", "Billing", "Rebalancing"
OWNER_PERCENT, PARTNER_PERCENT = 60, 40
"""Shares in percent of two households that share an account: the household that owns it, and its partner."""


class Member(NamedTuple):
    """One member of a group or household. `type` is "Account" or "Group"; `percent` is the ownership share."""

    type: str
    id: str
    percent: int = 100


@dataclass(frozen=True, slots=True)
class Group:
    """A group of one household. `type` is REPORTING, BILLING or REBALANCING."""

    id: str
    name: str
    type: str
    members: tuple[Member, ...]
    closed_on: date | None = None

    @property
    def is_reported(self) -> bool:
        """Return whether Tamarac lists the group among the accounts. It does so for open reporting groups."""
        return self.type == REPORTING and self.closed_on is None


class Accounts(NamedTuple):
    """The ids of the accounts from which a household's groups are generated."""

    own: Sequence[str]  # without `shared`
    shared: str | None  # an account of this household that it shares with the next one


def draw_groups(draw: random.Random, household: str, surname: str, accounts: Accounts, first: date) -> list[Group]:
    """Draw the groups of one household.

    Args:
        draw: The household's own random numbers.
        household: Number of the household, with which the groups' ids begin.
        surname: Text with which the groups' names begin.
        accounts: The accounts to group.
        first: Closing day of the closed groups.
    """
    luck = [draw.random() for _ in range(6)]
    own, all_members = accounts.own, [Member("Account", id_) for id_ in accounts.own]
    groups = []

    def add(place: int, name: str, kind: str, members: Sequence[Member], closed_on: date | None = None) -> Member:
        groups.append(Group(f"G{household}{place}", f"{surname} {name}", kind, tuple(members), closed_on))
        return Member("Group", groups[-1].id)

    if len(own) > 1 and luck[0] < 0.8:
        is_nested = luck[1] < 0.5
        inner = [add(2, "Retirement", REPORTING, all_members[1:])] if is_nested else all_members[1:]
        add(1, "Family", REPORTING, [all_members[0], *inner])
        if luck[2] < 0.4:
            add(3, "Income", REPORTING, all_members[:1])
    if own and luck[3] < 0.6:
        partial = Member("Account", own[-1], 50)
        shared = [Member("Account", accounts.shared, OWNER_PERCENT)] if accounts.shared else []
        add(4, "Billing", BILLING, [*all_members[:-1], partial if luck[3] < 0.3 else all_members[-1], *shared])
    if own and luck[4] < 0.25:
        add(5, "Rebalancing", REBALANCING, all_members)
    if own and luck[5] < 0.15:
        add(6, "Estate", REPORTING, all_members[:1], first)
    return groups


def list_members(groups: Iterable[Group], accounts: Accounts) -> list[Member]:
    """Return a household's members.

    They are the open reporting groups that are in no other such group, the accounts in none of these groups, and the shared
    account.
    """
    reported = [group for group in groups if group.is_reported]
    grouped = {member.id for group in reported for member in group.members}
    members = [Member("Group", group.id) for group in reported if group.id not in grouped]
    members += [Member("Account", id_) for id_ in accounts.own if id_ not in grouped]
    return members + ([Member("Account", accounts.shared, OWNER_PERCENT)] if accounts.shared else [])


def find_accounts(group: Group, groups: Sequence[Group]) -> set[str]:
    """Return the ids of all accounts in `group` and in the groups nested in it. `groups` has all groups of the household."""
    by_id = {each.id: each for each in groups}

    def walk(current: Group) -> Iterator[str]:
        for member in current.members:
            if member.type == "Account":
                yield member.id
            else:
                yield from walk(by_id[member.id])

    return set(walk(group))
