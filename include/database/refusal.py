"""Refusals of the database's functions, as errors with their sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa

from include.errors import InputRejected

_INVALID_PARAMETER_VALUE = "22023"


@contextlib.contextmanager
def translate_refusal() -> Iterator[None]:
    """Raise `InputRejected` with the sentence of a function that refuses its parameters; other errors pass through."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") != _INVALID_PARAMETER_VALUE:
            raise
        raise InputRejected(str(error.orig.diag.message_primary)) from error  # type: ignore[union-attr]
