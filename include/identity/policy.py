"""The firm's thresholds for identity matching."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from include.errors import ConfigurationError

BOTH = frozenset({"tax_id", "birth_date"})
LEAST_SCORE = -10.0
"""Minimum `review_score`: odds of one to a thousand."""

_THRESHOLDS = frozenset({"link_score", "review_score", "review_ratio"})


@dataclass(frozen=True)
class Policy:
    """Thresholds of matching, and the fields to trust.

    A score is the log2 of the odds that two records are one person.

    Attributes:
        link_score: Minimum score to link a pair without review.
        review_score: Minimum score to put a pair into the review queue.
        review_ratio: Maximum share of all records that the review queue contains.
        trusted: Fields whose incompatible values always mean two people. Leave out a field with worse errors than typing
            errors, such as another person's tax id.
        has_households: Whether people who share a home are among the records. If not (a register of single persons), an address
            identifies a person.
    """

    link_score: float = 3.0
    review_score: float = -2.0
    review_ratio: float = 0.03
    trusted: frozenset[str] = BOTH
    has_households: bool = True

    def __post_init__(self) -> None:
        checks = {
            "link_score": (self.review_score < self.link_score <= 40, "above review_score and up to 40"),
            "review_score": (self.review_score >= LEAST_SCORE, f"{LEAST_SCORE:g} or more"),
            "review_ratio": (0 < self.review_ratio <= 1, "above 0 and up to 1"),
        }
        _refuse(
            [f"{name} is {getattr(self, name)}, not {rule}" for name, (is_met, rule) in checks.items() if not is_met]
        )

    @classmethod
    def of(cls, overrides: Mapping[str, Any]) -> Self:
        """Return the defaults with a firm's own thresholds applied.

        Args:
            overrides: Name -> number, or number as text, from JSON. A firm can't change `trusted` or `has_households`.

        Raises:
            ConfigurationError: A name is unknown or a value is invalid; the message lists all faults.
        """
        faults = [f"{name} is not a threshold" for name in overrides if name not in _THRESHOLDS]
        values: dict[str, Any] = {}
        for name in _THRESHOLDS & overrides.keys():
            try:
                values[name] = float(str(overrides[name]))
            except ValueError:
                faults.append(f"{name} must be a number")
        _refuse(faults)
        return cls(**values)


def _refuse(faults: list[str]) -> None:
    if faults:
        raise ConfigurationError(f"Invalid thresholds of identity matching: {'; '.join(sorted(faults))}")
