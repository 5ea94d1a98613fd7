"""Expectations of Great Expectations that build their configuration once.

An expectation of Great Expectations 1.24 builds its configuration, which is a dump of its fields, about a hundred times during one
validation. That takes half of the time of a validation of a small table. A subclass, the library's way to adapt an expectation,
keeps the configuration instead: we never change an expectation after it was created.
"""

from __future__ import annotations

from functools import cache
from typing import Any


@cache
def register_cached(name: str) -> str:
    """Register a subclass of an expectation that keeps its configuration.

    Args:
        name: Great Expectations' name of the expectation, such as `expect_column_values_to_not_be_null`.

    Returns:
        The name of the subclass; `name` itself if Great Expectations does not know it.
    """
    from great_expectations.exceptions.exceptions import ExpectationNotFoundError
    from great_expectations.expectations.registry import get_expectation_impl

    try:
        original = get_expectation_impl(name)
    except ExpectationNotFoundError:
        return name

    def configuration(self: Any) -> Any:
        if not hasattr(self, "_configuration"):
            built = super(subclass, self).configuration
            object.__setattr__(self, "_configuration", built)  # the model itself rejects other fields
        return self._configuration

    # A slot is not copied with the expectation, so a copy with other fields builds its own.
    members = {"__module__": __name__, "__slots__": ("_configuration",), "configuration": property(configuration)}
    subclass: Any = type(f"Cached{original.__name__}", (original,), members)
    return f"cached_{name}"
