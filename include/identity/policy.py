"""What a firm may choose about identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from include.errors import ConfigurationError

BOTH = frozenset({"tax_id", "birth_date"})
_THRESHOLDS = frozenset({"link_score", "review_score", "review_ratio"})


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

    def __post_init__(self) -> None:
        wanted = {
            "link_score": (self.review_score < self.link_score <= 40, "above review_score and up to 40"),
            "review_score": (self.review_score >= 0, "0 or more"),
            "review_ratio": (0 < self.review_ratio <= 1, "above 0 and up to 1"),
        }
        _refuse(
            [f"{name} is {getattr(self, name)}, not {what}" for name, (is_met, what) in wanted.items() if not is_met]
        )

    @classmethod
    def of(cls, overrides: Mapping[str, Any]) -> Self:
        """Returns the defaults with a firm's own thresholds, as they stand in JSON.

        Args:
            overrides: Name -> number, or number as text. What is trusted is no firm's choice.

        Raises:
            ConfigurationError: A name that is no threshold, or a value that makes no sense; all of them are named.
        """
        faults = [f"{name} is no threshold" for name in overrides if name not in _THRESHOLDS]
        read: dict[str, Any] = {}
        for name in _THRESHOLDS & overrides.keys():
            try:
                read[name] = float(str(overrides[name]))
            except ValueError:
                faults.append(f"{name} must be a number")
        _refuse(faults)
        return cls(**read)


def _refuse(faults: list[str]) -> None:
    if faults:
        raise ConfigurationError(f"The thresholds of identity are wrong: {'; '.join(sorted(faults))}")
