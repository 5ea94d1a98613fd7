"""Fill an empty org with the records that users have entered over years, and store the truth about each record."""

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from sandbox.firm.households import Firm
from sandbox.firm.people import draw_person
from sandbox.full_org.clientele import Clientele
from sandbox.full_org.clients import Client, list_offices
from sandbox.full_org.entry import Typist
from sandbox.full_org.kinds import Picker
from sandbox.full_org.truth import Truth, store_facts
from sandbox.full_org.unrelated import write_unrelated
from sandbox.salesforce.org import Org
from sandbox.salesforce.schema import SHAPES

_DAY_HOUSEHOLDS = 8
"""Households that an advisor enters on one day."""
_CACHE_KIB = 65_536
"""SQLite's cache while it fills the org. Its usual two megabytes would be written to disk again and again."""
_DAYS = 6 * 365
"""Days before the firm's first session over which the records were entered."""


def fill(org: Org, firm: Firm, through: date) -> Truth:
    """Fill the org, all of it or nothing; an org that this function has filled stays as it is.

    The records depend on the firm's seed, and on the org's clock, which dates the latest changes.

    Args:
        org: The org, without any account.
        firm: The firm whose clients the records are.
        through: Last day in the firm's books.

    Raises:
        ValueError: The org already has other records, or lacks the managed package.
    """
    if org.shape != SHAPES[0]:
        raise ValueError(f"only an org of the shape {SHAPES[0]} can be filled, not {org.shape}")
    truth = Truth(org.store)
    if truth:
        return truth
    with org.store.read() as connection:
        if connection.execute("select 1 from record where id glob '001*' limit 1").fetchone():
            raise ValueError("the org has accounts already; only an empty org can be filled")
    with org.store.write() as connection:
        connection.execute(f"pragma cache_size = -{_CACHE_KIB}")
        typist, picker = Typist(org, connection), Picker(firm.seed)
        draw = random.Random(f"{firm.seed}:full org")
        assistants = [(draw_person(draw), f"assistant.{number}") for number in (1, 2)]
        others = typist.add_users(assistants) + typist.add_users(
            [(draw_person(draw), "former.advisor")], is_active=False
        )
        clientele = Clientele(firm.seed, typist, picker, others)
        now, last = org.clock.now(), firm.first - timedelta(days=30)
        days = -(-firm.households // _DAY_HOUSEHOLDS) + firm.households // 40 + 4
        for place, (user_id, clients) in enumerate(_list_days(typist, firm, through)):
            day = last - timedelta(days=int(_DAYS * max(0.0, 1 - place / days)))
            at = datetime.combine(day, time(14), UTC) + timedelta(hours=draw.uniform(0, 7))
            entries = []
            for client in clients:
                entries += clientele.write(client)
                entries += write_unrelated(typist, picker, random.Random(f"{firm.seed}:full org:beside {client.key}"))
            changed_at = now - timedelta(days=draw.uniform(1, 6))
            typist.type_in(entries, user_id, at, changed_at)
            store_facts(connection, clientele.missing)
            clientele.missing.clear()
    return truth


def _list_days(typist: Typist, firm: Firm, through: date) -> Iterator[tuple[str, tuple[Client, ...]]]:
    """Yield the days of typing, each as the id of an advisor's user and the clients of that day."""
    for office in list_offices(firm, through):
        [user_id] = typist.add_users([(office.advisor.person, office.name)])
        while clients := tuple(itertools.islice(office.clients, _DAY_HOUSEHOLDS)):
            yield user_id, clients
