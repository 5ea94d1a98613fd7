"""What a firm may choose about identity."""

from __future__ import annotations

from dataclasses import dataclass

BOTH = frozenset({"tax_id", "birth_date"})


@dataclass(frozen=True)
class Policy:
    """Thresholds and trust.

    Scores are log2 of the odds that two records are one person.

    Attributes:
        link_score: A pair at least so sure is linked without a person.
        review_score: A pair at least so sure, and below `link_score`, may be worth a person's time.
        review_ratio: At most so much of the records stand in the queue; the surest pairs first.
        trusted: Fields of which two incompatible values are never one person. Data whose ids carry errors that no
            typing slip explains must leave them out.
        has_households: Whether people of one home are among the records. Where not (a register of single persons), an
            address tells a person.
    """

    link_score: float = 3.0
    review_score: float = 0.0
    review_ratio: float = 0.05
    trusted: frozenset[str] = BOTH
    has_households: bool = True
