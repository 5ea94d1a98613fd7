"""SQLite aggregate functions for exact sums and averages of numbers that are stored as decimal text."""

from decimal import Decimal
from typing import Any


class DecimalSum:
    """The aggregate function `decimal_sum` of SQLite."""

    def __init__(self) -> None:
        self.total, self.count = Decimal(0), 0

    def step(self, text: Any, /) -> None:
        """Add one row's value, a decimal text or None."""
        if text is not None:
            self.total, self.count = self.total + Decimal(text), self.count + 1

    def finalize(self) -> Any:
        """Return the sum as decimal text; None if there was no value."""
        return f"{self.total:f}" if self.count else None


class DecimalAverage(DecimalSum):
    """The aggregate function `decimal_avg` of SQLite. Its result has the precision of a double, as in Salesforce."""

    def finalize(self) -> Any:
        """Return the average as text; None if there was no value."""
        return str(float(self.total / self.count)) if self.count else None


AGGREGATES = {"decimal_sum": DecimalSum, "decimal_avg": DecimalAverage}
