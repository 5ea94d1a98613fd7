"""Portfolio entities: households, persons, legal entities, accounts, positions and transactions."""

from __future__ import annotations

from include.canonical.entity import RATIO, Entity, references
from include.contract import BOOLEAN, DATE, MONEY, PRICE, QUANTITY, STRING, TIMESTAMP

PORTFOLIO: tuple[Entity, ...] = (
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
        references("representative"),
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
            # Contact details of the person, if the vendor has them; else the household's apply.
            "email": STRING,
            "phone": STRING,
            "street": STRING,
            "city": STRING,
            "state_code": STRING,
            "postal_code": STRING,
            # Keys of the same person in other systems, as this vendor sends them, separated by blanks: `<vendor>:household:17`.
            "cross_references": STRING,
        },
        references("household"),
        sticky=("tax_id_hash", "tax_id_last4"),
        excludes="legal_entity",
    ),
    Entity(
        "legal_entity",
        "description",
        {
            "name": STRING,
            # trust, estate, company, partnership, foundation or retirement_plan.
            "entity_kind": STRING,
            "tax_id_hash": STRING,
            "tax_id_last4": STRING,
        },
        references("household"),
        sticky=("tax_id_hash", "tax_id_last4"),
        excludes="person",
    ),
    Entity(
        "registration",
        "description",
        # `registration_type` is the vendor's word. `registration_kind` is ours: individual, joint, ira, utma, trust, company, ...
        {"name": STRING, "registration_type": STRING, "registration_kind": STRING, "is_active": BOOLEAN},
        # The person is null if a legal entity owns the registration.
        references("household", "person"),
    ),
    Entity(
        "registration_party",
        "description",
        # owner, joint owner, trustee, grantor, beneficiary, custodian, minor or officer, and the name in the title. The person or legal
        # entity is null if it was not found without doubt.
        {"role": STRING, "name": STRING},
        references("registration", "person", "legal_entity"),
        set_of="registration_key",
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
            # False if other accounts also show the account's assets (a custodial parent of sleeves).
            "is_counted": BOOLEAN,
        },
        references("registration", "household", "representative"),
        sticky=("account_number_hash", "account_number_last4"),
    ),
    Entity(
        "account_owner",
        "description",
        # `primary`: owns a share. `joint`: owns the whole account together with the primary owner, and is left out of sums.
        {"share_ratio": RATIO, "role": STRING},
        # A person or a legal entity; neither if only the household is known.
        references("account", "household", "person", "legal_entity"),
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
        references("account"),
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
        references("account", "security"),
        dated="business_date",
        money="market_value_usd",
        has_months=True,
    ),
    Entity(
        "transaction",
        "event",
        {
            # The vendor's key of the position that the transaction changes.
            "position_key": STRING,
            "trade_date": DATE,
            "settle_date": DATE,
            "transaction_type": STRING,
            "type_code": STRING,
            # contribution, distribution, fee, income, transfer or other; null if the vendor sends none. Only the first
            # two cross the firm's boundary.
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
        references("account", "security"),
        dated="trade_date",
        version="edited_at",
        money="amount_usd",
        is_removable=True,
    ),
)
