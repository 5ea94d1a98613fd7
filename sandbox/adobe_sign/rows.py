"""The generated firm at Adobe Acrobat Sign: representatives as users, and agreements of every third household.

An agreement is generated as a series of actions in the sixty days before the sandbox's first start. They are applied like a person's
actions. All of this is our choice.
"""

import itertools
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sandbox.adobe_sign.agreements import Agreement, create_agreement
from sandbox.adobe_sign.ids import write_id
from sandbox.firm.book import Book
from sandbox.firm.households import Household, Representative
from sandbox.firm.likeness import write_email
from sandbox.server.response import write_moment

Row = dict[str, Any]

COMPANY = "Sample Wealth"
EVERY = 3
"""One in this many households uses this vendor."""

_DAYS = 60


class Kind(NamedTuple):
    """A kind of agreement: name, role of the clients, number of pages, and whether the representative approves it at the end."""

    name: str
    role: str
    pages: int
    is_approved: bool = False


KINDS = (
    Kind("Advisory agreement", "SIGNER", 12, is_approved=True),
    Kind("New account application", "SIGNER", 8),
    Kind("Transfer of assets", "SIGNER", 4),
    Kind("Beneficiary change", "SIGNER", 2, is_approved=True),
    Kind("Fee schedule change", "ACCEPTOR", 2),
    Kind("Privacy notice", "CERTIFIED_RECIPIENT", 3),
    Kind("Account review", "APPROVER", 5),
    Kind("Client profile", "FORM_FILLER", 6),
)
# fmt: off
_OUTCOMES = (
    "done", "done", "waiting", "done", "partly", "rejected", "done", "done", "viewed", "cancelled", "done", "expired",
    "done", "waiting", "draft", "done", "restarted", "done", "partly", "authoring", "done", "archived",
)
# fmt: on


def draw_users(representatives: list[Representative]) -> list[Row]:
    """Return the account's users: one per representative. The first is the administrator."""
    emails: set[str] = set()
    users = []
    for number, representative in enumerate(representatives):
        person = representative.person
        email = f"{person.first_name}.{person.last_name}@example.com".lower()
        email = email if email not in emails else email.replace("@", f".{representative.id}@")
        emails.add(email)
        users.append(
            {
                "id": write_id("user", email),
                "email": email,
                "firstName": person.first_name,
                "lastName": person.last_name,
                "initials": person.first_name[0] + person.last_name[0],
                "company": COMPANY,
                "accountType": "ENTERPRISE",
                "isAccountAdmin": number == 0,
                "locale": "en_US",
                "status": "ACTIVE",
                "title": "Advisor",
            }
        )
    return users


def draw_library(users: list[Row], anchor: datetime) -> list[Row]:
    """Return the account's library documents: one per kind of agreement. The users take turns as creators."""
    return [
        {
            "id": write_id("library", kind.name),
            "name": kind.name,
            "creatorEmail": users[number % len(users)]["email"],
            "createdDate": write_moment(anchor - timedelta(days=400 - number)),
            "modifiedDate": write_moment(anchor - timedelta(days=300 - 9 * number)),
            "sharingMode": "USER" if number == len(KINDS) - 1 else "ACCOUNT",
            "status": "AUTHORING" if number == len(KINDS) - 1 else "ACTIVE",
            "templateTypes": ["DOCUMENT", "FORM_FIELD_LAYER"] if number % 2 else ["DOCUMENT"],
            "hidden": False,
        }
        for number, kind in enumerate(KINDS)
    ]


def write_send(household: Household, sender: str, representative: Row, kind: Kind) -> Row:
    """Return the values of a `send` to a household.

    The participants are the household's people in order. The representative gets a copy, and is the last participant if the kind
    needs approval.
    """
    email = representative["email"]
    parties = [
        {"email": write_email(household, place), "name": person.name, "role": kind.role, "order": place + 1}
        for place, person in enumerate(household.people)
    ]
    if kind.is_approved:
        name = f"{representative['firstName']} {representative['lastName']}"
        parties.append({"email": email, "name": name, "role": "APPROVER", "order": len(parties) + 1})
    return {
        # Not the household's name: the advisor may change it, and an agreement keeps its name.
        "name": f"{kind.name} - {household.people[0].name}",
        "sender": sender,
        "participants": parties,
        "ccs": [email],
        "documents": [{"name": f"{kind.name}.pdf", "numPages": kind.pages}],
        "external_id": f"orion:{household.id}",
        "message": f"Please review and complete {kind.name}.",
    }


def draw_agreements(book: Book, users: list[Row], anchor: datetime) -> Iterator[tuple[Household, Agreement]]:
    """Yield all generated agreements, each with its household, household by household."""
    outcomes = itertools.cycle(_OUTCOMES)
    by_id = {each.id: user for each, user in zip(book.representatives, users, strict=True)}
    for household in book.households[::EVERY]:
        draw = random.Random(f"{book.firm.seed}:adobe_sign:{household.id}")
        representative = by_id[household.representative_id]
        for slot in range(draw.choice((1, 2, 2, 3, 4))):
            sender = representative if draw.random() < 0.8 else draw.choice(users)
            values = write_send(household, sender["email"], representative, draw.choice(KINDS))
            id_ = write_id("agreement", book.firm.seed, household.id, slot)
            yield household, _simulate(draw, id_, values, next(outcomes), anchor)


def _simulate(draw: random.Random, id_: str, values: Row, outcome: str, anchor: datetime) -> Agreement:
    """Create an agreement before `anchor`, and apply the actions that lead to the outcome."""
    is_open = outcome in ("waiting", "viewed", "partly", "draft", "authoring")
    age = timedelta(days=draw.randrange(1, 12) if is_open else draw.randrange(20, _DAYS), minutes=draw.randrange(600))
    at = anchor - age
    expires = at + timedelta(days=14)
    if outcome in ("draft", "authoring", "archived"):
        values |= {"state": outcome.upper()}
    elif outcome in ("expired", "restarted") or draw.random() < 0.3:
        values |= {"expires_at": expires.isoformat()}
    agreement = create_agreement(id_, values, at)
    if "state" in values:
        return agreement
    if outcome != "waiting":
        at += timedelta(minutes=draw.randrange(5, 600))
        agreement.move("view", {}, at)
    for kind in _list_moves(outcome, len(agreement.participants)):
        at = expires if kind == "expire" else at + timedelta(minutes=draw.randrange(5, 900))
        agreement.move(kind, {"comment": "Please correct my address"} if kind == "reject" else {}, at)
    return agreement


def _list_moves(outcome: str, participants: int) -> list[str]:
    moves = {
        "done": ["sign"] * participants,
        "partly": ["sign"] * (participants - 1),
        "rejected": ["reject"],
        "cancelled": ["cancel"],
        "expired": ["expire"],
        "restarted": ["expire", "restart"] + ["sign"] * participants,
    }
    return moves.get(outcome, [])
