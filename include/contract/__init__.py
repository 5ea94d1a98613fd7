"""Declarations of vendors, their tables and columns, and how each table is requested.

This package imports only the standard library, so that parsing a DAG stays cheap. Its modules `arrow` and `overrides` import more.
They are not imported here; the tasks that need them import them.
"""

from include.contract.derived import Constant, Derived, Translated, constant, derived
from include.contract.limits import Budget, Limits, Throttling
from include.contract.login import (
    AccessPoint,
    Basic,
    Impersonation,
    Login,
    RotatingRefresh,
    SessionToken,
    SignedAssertion,
)
from include.contract.shape import (
    FanOut,
    Linked,
    Nested,
    Numbered,
    Offset,
    Positioned,
    Probe,
    Pushed,
    Report,
    Shape,
    Whole,
)
from include.contract.vendor import (
    BINARY,
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
    Column,
    EntityMap,
    Table,
    Vendor,
    column,
    ignored,
    sensitive,
)
from include.contract.webhook import Document, EchoedId, Redelivery, Sender, SignedBody, Webhook

__all__ = [
    "BINARY", "BOOLEAN", "DATE", "INTEGER", "MONEY", "PAIRS", "PRICE", "QUANTITY", "STRING", "TIMESTAMP", "AccessPoint", "Basic", "Beside", "Budget", "Column",
    "Constant", "Derived", "Document", "EchoedId", "EntityMap", "FanOut", "Impersonation", "Limits", "Linked", "Login", "Nested", "Numbered", "Offset",
    "Positioned", "Probe", "Pushed", "Redelivery", "Report", "RotatingRefresh", "Sender", "SessionToken", "Shape", "SignedAssertion", "SignedBody",
    "Table", "Throttling", "Translated", "Vendor", "Webhook", "Whole", "column", "constant", "derived", "ignored", "sensitive",
]  # fmt: skip
