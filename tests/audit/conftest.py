"""A vendor's loads, for tests about what was known when."""

from __future__ import annotations

from tests.warehouse.conftest import loader, new_loader, warehouse

__all__ = ["loader", "new_loader", "warehouse"]
