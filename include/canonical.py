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

from include.contract import BOOLEAN, DATE, INTEGER, MONEY, PRICE, QUANTITY, STRING, TIMESTAMP

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
        is_observed: Whether the version is when we looked: two states that differ in nothing else are one.
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
    is_observed: bool = False
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
            # Where the vendor keeps them with the person; else the household's hold.
            "email": STRING,
            "phone": STRING,
            "street": STRING,
            "city": STRING,
            "state_code": STRING,
            "postal_code": STRING,
            # What the vendor calls the same person elsewhere: keys separated by blanks, such as `<vendor>:household:17`.
            "cross_references": STRING,
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
    # --- planning: a plan is a description, so that one that did not change makes no version; what comes of it is an event ---
    Entity(
        "plan",
        "description",
        {
            "name": STRING,
            "is_base": BOOLEAN,
            "target_low_ratio": RATIO,
            "target_high_ratio": RATIO,
            "created_on": DATE,
            "updated_on": DATE,
        },
        _references("household"),
    ),
    Entity(
        "goal",
        "description",
        {
            "name": STRING,
            "goal_type": STRING,
            # Dollars a year, or once where start and end are the same year.
            "amount_usd": MONEY,
            "start_year": INTEGER,
            "end_year": INTEGER,
            "priority": INTEGER,
            # As the vendor writes it, where it is a text.
            "wording": STRING,
        },
        _references("household", "plan"),
    ),
    Entity(
        "plan_result",
        "event",
        {
            # current or recommended.
            "scenario": STRING,
            # Probability of success, 0-1; null where the vendor states none, which is not zero.
            "probability_ratio": RATIO,
            "probability_text": STRING,
            # Whether it rests on balances that the vendor could not refresh.
            "is_stale": BOOLEAN,
            "computed_on": DATE,
            "computed_at": TIMESTAMP,
        },
        _references("household", "plan"),
        dated="computed_on",
        version="computed_at",
        is_observed=True,
    ),
    Entity(
        "goal_result",
        "event",
        {
            "scenario": STRING,
            "probability_ratio": RATIO,
            # Money set aside for the goal over what it costs; above 1 where there is more.
            "funded_ratio": "decimal(12,8)",
            "shortfall_year": INTEGER,
            "shortfall_usd": MONEY,
            "computed_on": DATE,
            "computed_at": TIMESTAMP,
        },
        _references("goal"),
        dated="computed_on",
        version="computed_at",
        is_observed=True,
    ),
    Entity(
        "outside_account",
        "description",
        {
            "name": STRING,
            "account_number_hash": STRING,
            "account_number_last4": STRING,
            "institution": STRING,
            "account_type": STRING,
            "is_linked": BOOLEAN,
        },
        _references("household"),
        sticky=("account_number_hash", "account_number_last4"),
    ),
    Entity(
        "outside_value",
        "event",
        {"market_value_usd": MONEY, "stated_on": DATE, "asked_on": DATE, "asked_at": TIMESTAMP},
        _references("outside_account"),
        dated="asked_on",
        version="asked_at",
        is_observed=True,
        money="market_value_usd",
    ),
    Entity(
        "insurance_policy",
        "description",
        {
            "name": STRING,
            "policy_type": STRING,
            "owner_name": STRING,
            "insured_name": STRING,
            "annual_premium_usd": MONEY,
            "cash_value_usd": MONEY,
            "death_benefit_usd": MONEY,
            "beneficiaries": INTEGER,
        },
        _references("household"),
    ),
    # --- risk: what a client can bear, what a portfolio takes; two facts, never one ---
    Entity(
        "portfolio",
        "description",
        {
            "name": STRING,
            # current or proposed.
            "portfolio_type": STRING,
            "risk_model": STRING,
            "is_deleted": BOOLEAN,
        },
        _references("person"),
    ),
    Entity(
        "questionnaire",
        "description",
        {
            "version": STRING,
            # 1-99.
            "risk_number": INTEGER,
            "sent_at": TIMESTAMP,
            "completed_at": TIMESTAMP,
            "is_completed": BOOLEAN,
            "is_archived": BOOLEAN,
            "is_deleted": BOOLEAN,
        },
        _references("person"),
    ),
    Entity(
        "client_risk",
        "event",
        {"risk_number": INTEGER, "measured_on": DATE, "measured_at": TIMESTAMP},
        _references("person"),
        dated="measured_on",
        version="measured_at",
        is_observed=True,
    ),
    Entity(
        "portfolio_risk",
        "event",
        {
            "risk_number": INTEGER,
            "market_value_usd": MONEY,
            # Whether the portfolio changed since it was analyzed.
            "is_stale": BOOLEAN,
            "analyzed_at": TIMESTAMP,
            "measured_on": DATE,
            "measured_at": TIMESTAMP,
        },
        _references("portfolio"),
        dated="measured_on",
        version="measured_at",
        is_observed=True,
        money="market_value_usd",
    ),
)


def named(name: str) -> Entity:
    """Returns the entity called `name`."""
    for entity in ENTITIES:
        if entity.name == name:
            return entity
    raise KeyError(f"no entity is called {name}")
