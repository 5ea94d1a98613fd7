"""Our own entities, whichever vendor they come from: declared once, used by every later step.

An entity has a key (the vendor's id as text, unique within vendor and entity), references to other entities by their
keys, and fields. In the warehouse, keys become surrogate ids through `warehouse.source_key`, so that identity can
re-point a person or an account without rewriting facts.

Three kinds:
    description: a dimension with history. Valid from the first business date that we saw it; one open version a key.
    snapshot: a fact of one business date, taken whole. A key that a later pull of that date lacks is withdrawn.
    event: a fact that happened once (`dated` says when) and may be corrected; `version` tells the newer of two.

Units: money in `_usd`, exact to the cent; quantities and prices to eight decimals; ratios 0-1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from include.contract import BOOLEAN, DATE, MONEY, PRICE, QUANTITY, STRING, TIMESTAMP

RATIO = "decimal(9,8)"


@dataclass(frozen=True, slots=True)
class Entity:
    """One canonical entity.

    Attributes:
        name: Singular; the warehouse table of the same name.
        kind: `description`, `snapshot` or `event`, as above.
        fields: Column -> type, without key, references and date.
        references: Key column -> entity it points to; becomes `<entity>_id` in the warehouse.
        dated: Column that places a fact in time; `business_date` for snapshots.
        version: Column that tells which of two states of an event is newer.
        money: Column whose sum is the control total.
        set_of: For descriptions that come in sets: the reference whose rows replace each other as a whole.
        sticky: Fields whose null says "not shown to us" (a masked tax id): what was known before stays.
    """

    name: str
    kind: Literal["description", "snapshot", "event"]
    fields: dict[str, str]
    references: dict[str, str]
    dated: str | None = None
    version: str | None = None
    money: str | None = None
    set_of: str | None = None
    sticky: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The column that identifies a row within its vendor."""
        return f"{self.name}_key"

    @property
    def columns(self) -> dict[str, str]:
        """Every canonical column and its type: key, date of a snapshot, references, fields."""
        dated = {"business_date": DATE} if self.kind == "snapshot" else {}
        return {self.key: STRING} | dated | dict.fromkeys(self.references, STRING) | self.fields


def _references(*entities: str) -> dict[str, str]:
    return {f"{entity}_key": entity for entity in entities}


ENTITIES: tuple[Entity, ...] = (
    Entity(
        "representative",
        "description",
        {"number": STRING, "name": STRING, "email": STRING, "status": STRING, "is_active": BOOLEAN},
        {},
    ),
    Entity(
        "household",
        "description",
        {
            "name": STRING,
            "category": STRING,
            "salutation": STRING,
            "street": STRING,
            "city": STRING,
            "state_code": STRING,
            "postal_code": STRING,
            "country": STRING,
            "email": STRING,
            "phone": STRING,
            "is_active": BOOLEAN,
        },
        _references("representative"),
    ),
    Entity(
        "person",
        "description",
        {
            "name": STRING,
            "first_name": STRING,
            "last_name": STRING,
            "birth_date": DATE,
            "gender": STRING,
            "tax_id_hash": STRING,
            "tax_id_last4": STRING,
        },
        _references("household"),
        sticky=("tax_id_hash", "tax_id_last4"),
    ),
    Entity(
        "registration",
        "description",
        {"name": STRING, "registration_type": STRING, "is_active": BOOLEAN},
        _references("household", "person"),
    ),
    Entity(
        "account",
        "description",
        {
            "name": STRING,
            "account_number_hash": STRING,
            "account_number_last4": STRING,
            "account_type": STRING,
            "custodian": STRING,
            "management_style": STRING,
            "status": STRING,
            "open_date": DATE,
            "close_date": DATE,
            "is_active": BOOLEAN,
            "is_managed": BOOLEAN,
            "is_discretionary": BOOLEAN,
            "is_sleeve": BOOLEAN,
            # False where the account's assets are shown by other accounts too (a custodial parent of sleeves).
            "is_counted": BOOLEAN,
        },
        _references("registration", "household", "representative"),
        sticky=("account_number_hash", "account_number_last4"),
    ),
    Entity(
        "account_owner",
        "description",
        {"share_ratio": RATIO},
        _references("account", "household", "person"),
        set_of="account_key",
    ),
    Entity(
        "security",
        "description",
        {
            "name": STRING,
            "ticker": STRING,
            "cusip": STRING,
            "asset_class": STRING,
            "category": STRING,
            "security_type": STRING,
        },
        {},
        sticky=("cusip",),
    ),
    Entity(
        "account_value",
        "snapshot",
        {"market_value_usd": MONEY, "cash_usd": MONEY},
        _references("account"),
        dated="business_date",
        money="market_value_usd",
    ),
    Entity(
        "position",
        "snapshot",
        {
            "quantity": QUANTITY,
            "price_usd": PRICE,
            "market_value_usd": MONEY,
            "cost_basis_usd": MONEY,
            "is_cash": BOOLEAN,
        },
        _references("account", "security"),
        dated="business_date",
        money="market_value_usd",
    ),
    Entity(
        "transaction",
        "event",
        {
            # The vendor's own key of the position that the transaction changes.
            "position_key": STRING,
            "trade_date": DATE,
            "settle_date": DATE,
            "transaction_type": STRING,
            "type_code": STRING,
            # contribution, distribution, fee, income, transfer or other; null where the vendor names none. Only the first
            # two come from, or go to, outside the firm.
            "flow": STRING,
            # posted, pending, reversed, cancelled or other; only posted rows change a position.
            "status": STRING,
            # Signed: positive adds to the position.
            "quantity": QUANTITY,
            "price_usd": PRICE,
            "amount_usd": MONEY,
            "description": STRING,
            "edited_at": TIMESTAMP,
        },
        _references("account", "security"),
        dated="trade_date",
        version="edited_at",
        money="amount_usd",
    ),
)


def named(name: str) -> Entity:
    """Returns the entity called `name`."""
    for entity in ENTITIES:
        if entity.name == name:
            return entity
    raise KeyError(f"no entity is called {name}")
