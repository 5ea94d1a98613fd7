"""A household as rows of Tamarac's lists. A value of None means that the response omits the property."""

import random
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from sandbox.firm.households import JOINT, find_value
from sandbox.tamarac.groups import Member, find_accounts
from sandbox.tamarac.house import House, label_account, label_client

Row = dict[str, Any]

IDS = {"accounts": "accountId", "groups": "groupId", "households": "householdId", "clients": "clientId"}
"""Field that identifies a list's rows, by list."""
GROUP_TYPE = "Reporting Group"
_ZERO = Decimal("0.00")


def write_accounts(house: House, day: date) -> Iterator[Row]:
    """Yield accounts with their values at the end of `day`, then open reporting groups, which the list treats as accounts."""
    values = {}
    for account in house.accounts:
        label, owners = label_account(account.id), house.find_owners(account)
        value, cash = values[label] = find_value(account, house.market, day)
        is_managed = account.id % 17 != 0
        yield {
            "accountId": label,
            "accountNumber": account.number,
            "name": house.name_account(account),
            "accountType": house.find_type(account),
            "custodian": account.custodian[1],
            "status": "Open" if account.closed_on is None else "Closed",
            "openDate": account.started_on.isoformat(),
            "closedDate": _iso(account.closed_on),
            "isManaged": is_managed,
            "isDiscretionary": is_managed,
            "primaryClientId": house.moved.get(label, label_client(house.household.id, owners[0])),
            "jointClientId": label_client(house.household.id, owners[1])
            if account.registration.kind is JOINT and owners[1:]
            else None,
            "marketValue": value,
            "cash": cash,
        }
    for group in house.reported:
        members = find_accounts(group, house.groups)
        yield {
            "accountId": group.id,
            "name": group.name,
            "accountType": GROUP_TYPE,
            "status": "Open",
            "isManaged": True,
            "isDiscretionary": True,
            "primaryClientId": label_client(house.household.id, 0),
            "marketValue": sum((values[label][0] for label in members), _ZERO),
            "cash": sum((values[label][1] for label in members), _ZERO),
        }


def write_groups(house: House, day: date) -> Iterator[Row]:
    """Yield the household's groups with their members."""
    for group in house.groups:
        yield {
            "groupId": group.id,
            "name": group.name,
            "groupType": group.type,
            "closedDate": _iso(group.closed_on),
            "members": [_write_member(member) for member in group.members],
        }


def write_households(house: House, day: date) -> Iterator[Row]:
    """Yield the household as one row with its members."""
    yield {
        "householdId": house.id,
        "name": house.name,
        "advisorId": house.advisor[0],
        "advisorName": house.advisor[1],
        "primaryClientId": label_client(house.household.id, 0),
        "members": [_write_member(member) for member in house.members],
    }


def write_clients(house: House, day: date) -> Iterator[Row]:
    """Yield the household's people. If they share an email address, only the first has it. Some have no tax id."""
    emails: set[str] = set()
    for place, person in enumerate(house.people):
        label = label_client(house.household.id, place)
        email = None if (person.email or "").lower() in emails else person.email
        has_tax_id = random.Random(f"{label}:tax").random() < 0.8
        yield {
            "clientId": label,
            "householdId": house.id,
            "firstName": person.first_name,
            "lastName": person.last_name,
            "email": email,
            "phone": person.phone,
            "birthDate": _iso(person.born),
            "taxId": person.tax_id if has_tax_id else None,
            "street": " ".join(part for part in (person.home.street, person.home.unit) if part),
            "city": person.home.city,
            "state": person.home.state,
            "zip": person.home.zip_code,
        }
        emails.add((email or "").lower())


WRITERS: dict[str, Callable[[House, date], Iterator[Row]]] = {
    "accounts": write_accounts,
    "groups": write_groups,
    "households": write_households,
    "clients": write_clients,
}
"""Function that yields the rows of one household, by list."""


def _write_member(member: Member) -> Row:
    """Return a member as the API shows it. A share of 100% is omitted."""
    row: Row = {"type": member.type, "id": member.id}
    return row if member.percent == 100 else row | {"ownershipPercent": member.percent}


def _iso(day: date | None) -> str | None:
    return None if day is None else day.isoformat()
