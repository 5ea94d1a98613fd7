"""Exact sums and averages of numbers stored as decimal text."""

from decimal import Decimal
from typing import Any


class DecimalSum:
    """An aggregate function of SQLite."""

    def __init__(self) -> None:
        self.total, self.count = Decimal(0), 0

    def step(self, text: Any, /) -> None:
        """Add one row's value, a decimal text or None."""
        if text is not None:
            self.total, self.count = self.total + Decimal(text), self.count + 1

    def finalize(self) -> Any:
        """Return the sum as a decimal text, or None without values."""
        return f"{self.total:f}" if self.count else None


class DecimalAverage(DecimalSum):
    """An aggregate function of SQLite; its result is a double, as Salesforce's is."""

    def finalize(self) -> Any:
        """Return the average as a text, or None without values."""
        return str(float(self.total / self.count)) if self.count else None


AGGREGATES = {"decimal_sum": DecimalSum, "decimal_avg": DecimalAverage}
