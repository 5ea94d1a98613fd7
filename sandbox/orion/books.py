"""The synthetic firm's books as Orion's tables."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from sandbox.firm.book import Book
from sandbox.firm.households import CUSTODIANS, REGISTRATION_KINDS, find_value
from sandbox.firm.market import SECURITIES
from sandbox.firm.world import World
from sandbox.orion import fields
from sandbox.orion import rows as orion
from sandbox.orion.row_edits import apply_row_edits
from sandbox.server.rows import Rows, Shape

_CACHED_TABLES = 12  # a run requests a few tables, page by page, for one or two days


class OrionBooks:
    """The synthetic firm as a source of Orion's rows (`sandbox.server.rows.Source`)."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._tables: OrderedDict[tuple[str, date | None], Rows] = OrderedDict()
        self._version = -1

    @property
    def closed_through(self) -> date:
        """Return the last day in the books."""
        return self.world.closed_through

    def find_additional_accounts(self, client_id: int) -> set[int]:
        """Return the ids of accounts of other households that this household can also see; empty for an unknown household."""
        try:
            return set(self.world.open_book().find_household(client_id).additional)
        except KeyError:
            return set()

    def find_rows(self, table: str, as_of: date | None = None) -> Rows:
        """Return a table. `accounts` and `assets` are as of the end of `as_of`, or of the last closed day if it is earlier (the default).

        Raises:
            KeyError: Orion has no such table.
        """
        with self.world.lock:
            book = self.world.open_book()
            if self._version != self.world.version:
                self._tables.clear()
                self._version = self.world.version
            day = min(as_of or book.through, book.through) if table in ("accounts", "assets") else None
            if (table, day) not in self._tables:
                rows = read_table(book, table, day or book.through)
                self._tables[table, day] = apply_row_edits(self.world.edits, "orion", table, day, rows)
                if len(self._tables) > _CACHED_TABLES:
                    self._tables.popitem(last=False)
            self._tables.move_to_end((table, day))
            return self._tables[table, day]


def read_table(book: Book, table: str, day: date) -> Rows:
    """Return one table of the books. `accounts` and `assets` are as of the end of `day`.

    Raises:
        KeyError: Orion has no such table.
    """
    read = {
        "representatives": _read_representatives,
        "clients": _read_clients,
        "registrations": _read_registrations,
        "accounts": _read_accounts,
        "assets": _read_assets,
        "transactions": _read_transactions,
    }
    if table in read:
        return read[table](book, day)
    return _read_reference(table)


def _read_reference(table: str) -> Rows:
    families = sorted({security.fund_family for security in SECURITIES if security.fund_family})
    lists: dict[str, tuple[Shape, list[tuple[Any, ...]]]] = {
        "account_statuses": (fields.SIMPLE, [status[:2] for status in orion.STATUSES]),
        "registration_types": (fields.CODED, [(kind.id, kind.name, kind.code) for kind in REGISTRATION_KINDS]),
        "custodians": (fields.CODED, list(CUSTODIANS)),
        "fund_families": (fields.SIMPLE, list(enumerate(families, 1))),
        "broker_dealers": (fields.SIMPLE, [orion.BROKER_DEALER]),
    }
    shape, rows = lists[table]
    return Rows(shape.fields, rows)


def _value_of(book: Book, key: str) -> dict[int, Decimal]:
    """Return total account values on the last closed day, by id of household, registration or representative.

    `key` selects what to group by: "client", "registration" or "rep". Custodial parents are left out, because they repeat their
    sleeves.
    """
    totals: dict[int, Decimal] = defaultdict(lambda: Decimal("0.00"))
    for account in book.accounts.values():
        if not account.is_parent:
            registration = account.registration
            house = registration.household
            owner = {"client": house.id, "registration": registration.id, "rep": house.representative_id}[key]
            totals[owner] += find_value(account, book.market, book.through)[0]
    return totals


def _read_representatives(book: Book, day: date) -> Rows:
    values, counts = _value_of(book, "rep"), defaultdict[int, int](int)
    for house in book.households:
        counts[house.representative_id] += 1
    rows = [orion.write_representative(rep, counts[rep.id], values[rep.id]) for rep in book.representatives]
    return Rows(fields.REPRESENTATIVE.fields, rows)


def _read_clients(book: Book, day: date) -> Rows:
    values, reps = _value_of(book, "client"), {rep.id: rep for rep in book.representatives}
    rows = [orion.write_client(h, reps[h.representative_id], values[h.id]) for h in book.households]
    return Rows(fields.CLIENT.fields, rows)


def _read_registrations(book: Book, day: date) -> Rows:
    values, reps = _value_of(book, "registration"), {rep.id: rep for rep in book.representatives}
    return Rows(
        fields.REGISTRATION.fields,
        [
            orion.write_registration(reg, reps[reg.household.representative_id], values[reg.id])
            for reg in book.registrations.values()
        ],
    )


def _read_accounts(book: Book, day: date) -> Rows:
    reps = {rep.id: rep for rep in book.representatives}
    return Rows(
        fields.ACCOUNT.fields,
        [
            orion.write_account(
                account, reps[account.registration.household.representative_id], book.market, day, book.through
            )
            for account in sorted(book.accounts.values(), key=lambda account: account.id)
        ],
    )


def _read_assets(book: Book, day: date) -> Rows:
    def rows() -> Iterator[tuple[Any, ...]]:
        for account in sorted(book.accounts.values(), key=lambda account: account.id):
            for asset in sorted(account.assets.values(), key=lambda asset: asset.id):
                if row := orion.write_asset(asset, account, book.market, day):
                    yield row

    return Rows(fields.ASSET.fields, list(rows()))


def _read_transactions(book: Book, day: date) -> Rows:
    return Rows(
        fields.TRANSACTION.fields,
        [orion.write_transaction(trade, book.accounts[trade.asset.account_id]) for trade in book.trades],
    )
