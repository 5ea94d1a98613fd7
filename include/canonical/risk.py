"""Risk entities. A client's risk tolerance and a portfolio's risk are separate facts."""

from __future__ import annotations

from include.canonical.entity import Entity, references
from include.contract import BOOLEAN, DATE, INTEGER, MONEY, STRING, TIMESTAMP

RISK: tuple[Entity, ...] = (
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
        references("person"),
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
        references("person"),
    ),
    Entity(
        "client_risk",
        "event",
        # The number is null if the vendor states none, so that an earlier one is no longer the newest.
        {"risk_number": INTEGER, "measured_on": DATE, "measured_at": TIMESTAMP},
        references("person"),
        dated="measured_on",
        version="measured_at",
        is_observed=True,
    ),
    Entity(
        "portfolio_risk",
        "event",
        {
            # Null if the vendor states none.
            "risk_number": INTEGER,
            "market_value_usd": MONEY,
            # Whether the portfolio changed since it was analyzed.
            "is_stale": BOOLEAN,
            "analyzed_at": TIMESTAMP,
            "measured_on": DATE,
            "measured_at": TIMESTAMP,
        },
        references("portfolio"),
        dated="measured_on",
        version="measured_at",
        is_observed=True,
        money="market_value_usd",
    ),
)
