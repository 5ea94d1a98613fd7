"""A firm's settings for its Salesforce org, from the extra fields of the Airflow connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from include.connection import is_https
from include.crm.firm_changes import ObjectChange
from include.errors import ConfigurationError

Persons = Literal["individuals", "person_accounts"]
PERSONS: tuple[Persons, ...] = ("individuals", "person_accounts")
"""The ways in which an org can represent persons; see `Settings.persons`."""

ShapeName = Literal["managed_package", "standard_objects", "plain"]
SHAPES: Mapping[ShapeName, tuple[Persons, ...]] = {
    "managed_package": PERSONS,
    "standard_objects": PERSONS,
    "plain": ("individuals",),
}
"""The shapes of an org, each with the ways in which it can represent persons; see `Settings.shape`."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The firm's settings, with defaults that suit most firms.

    Attributes:
        firm: Short name, the first part of every key; without a colon.
        persons: `person_accounts`, or `individuals`: an account with a contact below it; in a plain org, a contact.
        shape: What the org is: `managed_package` or `standard_objects` of Financial Services Cloud, or `plain` without either.
        has_transactions: Whether transactions are loaded.
        transaction_days: Number of days, back from the latest business date, whose transactions are loaded (by trade date).
        key_field: Our external id field on every object.
        key_fields: External id fields by object, for objects that use a field other than `key_field`.
        documents_url: URL of signed documents, such as `https://airflow.firm.example/documents`; empty: no links.
        most_collected: Maximum changed rows of one object sent by collections; more are sent by a bulk job.
        most_changed_ratio: Share (0-1) of an object's records that a run may change without approval.
        few: Number of records that may change without approval, whatever their share.
        most_moved_ratio: Share (0-1) by which the total worth of an object's records may change without approval.
        most_closed: Accounts that a run may close without approval.
        reserved_ratio: Share (0-1) of the org's daily calls and batches reserved for others.
        changes: The firm's changes of the mapping by entity, from the firm's folder and not from the connection.
    """

    firm: str
    persons: Persons = "individuals"
    shape: ShapeName = "managed_package"
    has_transactions: bool = False
    transaction_days: int = 30
    key_field: str = "Tributary_Key__c"
    key_fields: Mapping[str, str] = field(default_factory=dict)
    documents_url: str = ""
    most_collected: int = 2000
    most_changed_ratio: Decimal = Decimal("0.3")
    most_moved_ratio: Decimal = Decimal("0.2")
    few: int = 200
    most_closed: int = 25
    reserved_ratio: Decimal = Decimal("0.2")
    changes: Mapping[str, ObjectChange] = field(default_factory=dict)

    def __post_init__(self) -> None:
        persons = SHAPES.get(self.shape, PERSONS)
        of_shape = f" in an org of the shape {self.shape}" if persons != PERSONS else ""
        checks: list[tuple[str, Any, bool, str]] = [
            (
                "firm, the short name,",
                self.firm,
                bool(re.fullmatch(r"[A-Za-z0-9_-]+", self.firm)),
                "letters, digits, - and _",
            ),
            ("shape", self.shape, self.shape in SHAPES, " or ".join(SHAPES)),
            ("persons", self.persons, self.persons in persons, f"{' or '.join(persons)}{of_shape}"),
        ]
        for name in ("most_changed_ratio", "most_moved_ratio", "reserved_ratio"):
            value = getattr(self, name)
            checks.append((name, value, value.is_finite() and 0 <= value <= 1, "0 to 1"))
        for name in ("transaction_days", "most_collected", "few", "most_closed"):
            checks.append((name, getattr(self, name), getattr(self, name) >= 0, "0 or more"))
        checks.append(
            (
                "documents_url",
                self.documents_url,
                not self.documents_url
                or (is_https(self.documents_url) and bool(re.fullmatch(r"https?://[\w.:/\[\]-]+", self.documents_url))),
                "an https URL",
            )
        )
        for name in (self.key_field, *self.key_fields.values()):
            checks.append(("key_field", name, bool(re.fullmatch(r"\w+", name)), "a field's API name"))
        if faults := [
            f"{name} is {value!s}, not {expected}" for name, value, is_valid, expected in checks if not is_valid
        ]:
            raise ConfigurationError("Invalid settings in the extra of the connection salesforce: " + "; ".join(faults))

    @classmethod
    def of(cls, extra: Mapping[str, Any], changes: Mapping[str, ObjectChange] | None = None) -> Settings:
        """Read the settings from the connection's extra fields; ignore other fields.

        Args:
            extra: The extra fields.
            changes: The firm's changes of the mapping; None for none.

        Raises:
            ConfigurationError: A value is invalid.
        """
        known = {f.name: f.default for f in fields(cls) if f.name != "changes"}
        values = {name: _convert(name, known[name], value) for name, value in extra.items() if name in known}
        return cls(**{"firm": ""} | values | {"changes": changes or {}})

    def key_of(self, sobject: str) -> str:
        """Return the name of an object's external id field, which stores our key."""
        return self.key_fields.get(sobject, self.key_field)


def _convert(name: str, default: Any, value: Any) -> Any:
    text = str(value).strip()
    if name == "key_fields":
        if not isinstance(value, Mapping) or not all(isinstance(each, str) for each in value.values()):
            raise ConfigurationError(
                "key_fields is not a JSON object that maps a Salesforce object to its key field", key_fields=value
            )
        return dict(value)
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise ConfigurationError(
                f"The setting {name} of the connection salesforce is neither true nor false: set it to one of them",
                **{name: value},
            )
        return text.lower() == "true"
    if not isinstance(default, (int, Decimal)):
        if not isinstance(value, str):
            raise ConfigurationError(
                f"The setting {name} of the connection salesforce is not a text: put it in quotes", **{name: value}
            )
        return text
    try:
        return type(default)(text)
    except (ValueError, InvalidOperation):
        raise ConfigurationError(f"{name} is not a number", **{name: value}) from None
