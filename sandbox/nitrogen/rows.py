"""The firm's people as Nitrogen's objects: clients (one per person, sometimes one per couple), portfolios, questionnaires.

The risk number of a client comes from the latest finished questionnaire. The risk number of a portfolio comes from its holdings
and is recalculated every night.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cached_property

from sandbox.firm.households import Account, Household, find_value
from sandbox.firm.likeness import Likeness, Share, draw_likenesses, has_household, write_person_key
from sandbox.firm.records import Row, Table
from sandbox.firm.world import World
from sandbox.server.response import write_moment

VENDOR = "nitrogen"
SHARE = Share("risk", 0.0, 0.8)
TABLES = {
    "clients": Table("household", "id", ("household",)),
    "portfolios": Table("household", "id", ("household", "advisor_user_id")),
    "questionnaires": Table("household", "id", ("household", "advisor_user_id")),
}
FIRST_CLIENT, FIRST_PORTFOLIO, FIRST_QUESTIONNAIRE, FIRST_ADVISOR = 500_001, 700_001, 900_001, 8000
_PORTFOLIOS, _QUESTIONNAIRES = 2, 3  # maximum per client


@dataclass(frozen=True, slots=True)
class Client:
    """One client. `places` has the indexes of its people in the household; `likeness` is the record of the first one."""

    id: int
    slot: int
    house: Household
    places: tuple[int, ...]
    first_name: str
    likeness: Likeness


@dataclass(frozen=True, slots=True)
class Questionnaire:
    """One questionnaire of a client. `done_at` and `risk_number` are None until it is finished."""

    id: int
    sent_at: datetime
    done_at: datetime | None
    risk_number: int | None
    is_archived: bool
    is_deleted: bool

    @property
    def counts(self) -> bool:
        """Return whether the questionnaire counts for the client's risk number: finished, not archived and not deleted."""
        return self.done_at is not None and not self.is_archived and not self.is_deleted


def draw_clients(seed: int, household: Household) -> list[Client]:
    """Return a household's clients in Nitrogen: the first person only, two people as two clients, or a couple as one client."""
    number, people = household.id - 1001, draw_likenesses(seed, VENDOR, household)
    chance = random.Random(f"{seed}:{VENDOR}:clients:{household.id}").random()
    head, *others = people
    clients: list[tuple[tuple[int, ...], str, Likeness]] = [((0,), head.first_name, head)]
    if others and chance < 0.15 and others[0].last_name == head.last_name:
        clients = [((0, 1), f"{head.first_name} & {others[0].first_name}", head)]
    elif others and chance < 0.45:
        clients.append(((1,), others[0].first_name, others[0]))
    return [
        Client(FIRST_CLIENT + number * 2 + slot, slot, household, places, first_name, likeness)
        for slot, (places, first_name, likeness) in enumerate(clients)
    ]


class RowWriter:
    """Writes the rows of a household. Each method takes the household's number in the firm (from 0)."""

    def __init__(self, world: World) -> None:
        self.world, self.seed = world, world.firm.seed

    @cached_property
    def numbers(self) -> Mapping[int, int]:
        """Return the number of each household by its id in the firm."""
        numbers = range(self.world.firm.households)
        return {1001 + n: n for n in numbers if has_household(self.seed, SHARE, n)}

    def write_clients(self, number: int) -> list[Row]:
        """Return the household's clients, with risk numbers as of the last closed day."""
        return [self._write_client(client) for client in self._list_clients(number)]

    def write_portfolios(self, number: int) -> list[Row]:
        """Return the current and proposed portfolios of the household's clients."""
        return [
            row
            for client in self._list_clients(number)
            for row in self._draw_portfolios(client, self._accounts(client))
        ]

    def write_questionnaires(self, number: int) -> list[Row]:
        """Return the questionnaires that were sent on or before the last closed day."""
        return [
            self._write_questionnaire(client, each)
            for client in self._list_clients(number)
            for each in self._draw_questionnaires(client)
        ]

    def list_true_matches(self, number: int) -> Iterator[tuple[str, str]]:
        """Yield the correct matches of each client: with its household, and with each of its people."""
        for client in self._list_clients(number):
            yield f"clients:{client.id}", f"household:{client.house.id}"
            for place in client.places:
                yield f"clients:{client.id}", write_person_key(client.house, place)

    def _list_clients(self, number: int) -> list[Client]:
        return draw_clients(self.seed, self.world.open_book().households[number])

    def _draw(self, purpose: str, id_: int) -> random.Random:
        return random.Random(f"{self.seed}:{VENDOR}:{purpose}:{id_}")

    def _write_client(self, client: Client) -> Row:
        draw, house = self._draw("client", client.id), client.house
        done = [each for each in self._draw_questionnaires(client) if each.counts]
        latest = max(done, key=lambda each: each.done_at or each.sent_at, default=None)
        risk = None if latest is None else latest.risk_number
        has_link, chance = draw.random() < 0.5, draw.random()
        first, has_current, has_proposed = self._plan_portfolios(client)
        created = house.created_at or house.edited_at
        review = date(self.world.firm.first.year, draw.randrange(1, 7), draw.randrange(1, 28))
        link = {"id": client.id * 10, "client_id": client.id, "type": "orion", "ex_id_1": str(house.id)}
        return {
            "household": house.id,
            "id": client.id,
            "advisor_user_id": FIRST_ADVISOR + house.representative_id,
            "client_user_id": None,
            "fname": client.first_name,
            "lname": client.likeness.last_name,
            "email": client.likeness.email,
            "phone": client.likeness.phone,
            "status": "Client" if chance < 0.87 or house.id == 1001 else "Prospective" if chance < 0.95 else "Archived",
            "created": write_moment(created),
            "deleted": chance > 0.98 and house.id != 1001,
            "ref_id": None,
            "risk_number": risk,
            "risk_metric": None if risk is None else {"type": "risk_number", "value": risk},
            "latest_current_portfolio": first if has_current else None,
            "latest_proposed_portfolio": first + 1 if has_proposed else None,
            "integrations": [link | {"ex_id_2": None, "timestamp": write_moment(created)}] if has_link else [],
            "prev_review_date": review.isoformat(),
            "next_review_date": (review + timedelta(days=365)).isoformat(),
        }

    def _draw_questionnaires(self, client: Client) -> list[Questionnaire]:
        draw, day, first = self._draw("questionnaires", client.id), self.world.closed_through, self.world.firm.first
        count = max(draw.choice((0, 1, 1, 2, 3)), client.house.id == 1001)
        risk, questionnaires = int(min(max(draw.gauss(52, 16), 5), 97)), []
        for slot in range(count):
            on = first + timedelta(days=draw.randrange(-700, -1) if slot == 0 else draw.randrange(-60, 110))
            done = on + timedelta(days=draw.randrange(1, 20))
            is_finished, chance = draw.random() < 0.7 or slot == 0, draw.random()
            score, minute = min(max(risk + draw.randrange(-8, 9), 1), 99), draw.randrange(60)
            if on > day:
                continue
            done_at = datetime.combine(done, time(17, minute), UTC) if is_finished and done <= day else None
            questionnaires.append(
                Questionnaire(
                    id=FIRST_QUESTIONNAIRE + (client.id - FIRST_CLIENT) * _QUESTIONNAIRES + slot,
                    sent_at=datetime.combine(on, time(15, minute), UTC),
                    done_at=done_at,
                    risk_number=score if done_at else None,
                    is_archived=chance < 0.06 and slot > 0,
                    is_deleted=chance > 0.96 and slot > 0,
                )
            )
        return questionnaires

    def _write_questionnaire(self, client: Client, each: Questionnaire) -> Row:
        person, advisor = client.likeness, FIRST_ADVISOR + client.house.representative_id
        return {
            "household": client.house.id,
            "advisor_user_id": advisor,
            "id": each.id,
            "user_id": str(advisor),
            "client_id": client.id,
            "advisor_id": str(advisor),
            "fname": client.first_name,
            "lname": person.last_name,
            "birth_year": person.born and person.born.year,
            "retirement_age": self._draw("retirement", client.id).choice((60, 62, 65, 67, 70)),
            "risk_number": each.risk_number,
            "sent": "1",
            "sent_timestamp": write_moment(each.sent_at),
            "timestamp": each.done_at and write_moment(each.done_at),
            "completed": _flag(each.done_at is not None),
            "archived": _flag(each.is_archived),
            "deleted": _flag(each.is_deleted),
            "rq4_simple": self._draw("simple", each.id).choice("01"),
        }

    def _plan_portfolios(self, client: Client) -> tuple[int, bool, bool]:
        """Return the id of the client's first portfolio, and whether the client has a current and a proposed portfolio."""
        draw = self._draw("portfolios", client.id)
        first = FIRST_PORTFOLIO + (client.id - FIRST_CLIENT) * _PORTFOLIOS
        return first, draw.random() < 0.85 or client.house.id == 1001, draw.random() < 0.4

    def _accounts(self, client: Client) -> list[Account]:
        """Return the open accounts whose first owner is one of the client's people, without sleeves."""
        day, people = self.world.closed_through, [client.house.people[place] for place in client.places]
        return [
            account
            for account in client.house.accounts
            if account.parent is None
            and (account.closed_on is None or account.closed_on > day)
            and account.registration.owner in people
        ]

    def _draw_portfolios(self, client: Client, accounts: list[Account]) -> Iterator[Row]:
        first, *flags = self._plan_portfolios(client)
        book, day = self.world.open_book(), self.world.closed_through
        values = [(account, find_value(account, book.market, day)[0]) for account in accounts]
        for slot, (kind, has_portfolio) in enumerate(zip(("current", "proposed"), flags, strict=True)):
            if not has_portfolio:
                continue
            id_, advisor = first + slot, FIRST_ADVISOR + client.house.representative_id
            draw = self._draw("portfolio", id_)
            risk, chance, model = min(max(draw.gauss(55, 14), 5), 97), draw.random(), draw.choice((1, 1, 2, 3))
            created = datetime.combine(book.firm.first - timedelta(days=draw.randrange(20, 400)), time(15), UTC)
            is_dirty = self._draw(f"dirty:{(day - date.min).days // 7}", id_).random() < 0.05
            analyzed = datetime.combine(day - timedelta(days=7 if is_dirty else 0), time(23, 30), UTC)
            yield {
                "household": client.house.id,
                "advisor_user_id": advisor,
                "id": id_,
                "user_id": advisor,
                "client_id": client.id,
                "name": f"{client.likeness.last_name} {kind.title()}",
                "total": int(sum(value for _, value in values)),
                "status": "active",
                "type": kind,
                "created": write_moment(created),
                "updated": write_moment(datetime.combine(day, time(22), UTC)),
                "analyzed": write_moment(analyzed),
                "is_dirty": int(is_dirty),
                "deleted": int(chance > 0.98 and client.house.id != 1001),
                "data_model": model,
                "analysis": None
                if chance < 0.04 and client.house.id != 1001
                else self._analyze(id_, risk, analyzed.date()),
                "accounts": [
                    {
                        "id": account.id * 10 + slot,
                        "name": account.registration.name,
                        "total": value,
                        "custodian_id": account.custodian[0],
                        "type_id": account.registration.kind.id,
                    }
                    for account, value in values
                ],
            }

    def _analyze(self, portfolio_id: int, risk: float, day: date) -> Row:
        """Return the analysis of one night. Its risk number differs from `risk` by a random amount, rarely more than 2."""
        draw = self._draw(f"night:{day}", portfolio_id)
        number = round(min(max(risk + draw.gauss(0, 0.7), 1), 99))
        gain, spread = Decimal(number) / 1200, Decimal(number) / 400
        four = Decimal("0.0001")
        return {
            "return": gain.quantize(four),
            "stdev": spread.quantize(four),
            "risk_number": number,
            "worst": (gain / 2 - Decimal("1.2") * spread).quantize(four),
            "best": (gain / 2 + Decimal("1.4") * spread).quantize(four),
            "annual_fee": Decimal("0.0085"),
        }


def _flag(value: bool) -> str:
    return "1" if value else "0"
