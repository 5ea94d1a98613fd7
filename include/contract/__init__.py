"""Declarations of vendors, their tables and columns, and how each table is requested.

This package imports only the standard library, so that parsing a DAG stays cheap. `arrow` and `overrides` import more; the steps that
read a declaration use them.
"""

from include.contract.limits import Limits
from include.contract.shape import FanOut, Linked, Nested, Numbered, Offset, Positioned, Pushed, Report, Shape, Whole
from include.contract.vendor import (
    BOOLEAN,
    DATE,
    INTEGER,
    MONEY,
    PAIRS,
    PRICE,
    QUANTITY,
    STRING,
    TIMESTAMP,
    Beside,
    Budget,
    Column,
    Constant,
    Derived,
    EntityMap,
    Probe,
    Table,
    Vendor,
    column,
    constant,
    derived,
    ignored,
    sensitive,
)
from include.contract.webhook import Document, Webhook

__all__ = [
    "BOOLEAN", "DATE", "INTEGER", "MONEY", "PAIRS", "PRICE", "QUANTITY", "STRING", "TIMESTAMP", "Beside", "Budget", "Column", "Constant", "Derived",
    "Document", "EntityMap", "FanOut", "Limits", "Linked", "Nested", "Numbered", "Offset", "Positioned", "Probe", "Pushed", "Report", "Shape",
    "Table", "Vendor", "Webhook", "Whole", "column", "constant", "derived", "ignored", "sensitive",
]  # fmt: skip
