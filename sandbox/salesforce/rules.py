"""The active validation rules and duplicate rules that an administrator has made. They are listed, and never applied to a record.

`ValidationRule` is an object of the Tooling API, `DuplicateRule` an object of the REST API. Only queries of the following form are answered,
because no other caller needs them: a list of fields, one object, and a condition, which is ignored: all rules are active.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.salesforce.errors import ApiError

TOOLING, REST = "ValidationRule", "DuplicateRule"
_QUERY = re.compile(
    r"select\s+(?P<fields>[\w., ]+?)\s+from\s+(?P<object>\w+)(?:\s+where\s+.*)?", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class Rule:
    """An active rule of an object; `kind` is `ValidationRule` or `DuplicateRule`."""

    kind: str
    sobject: str
    name: str

    @property
    def values(self) -> Mapping[str, Any]:
        """The fields that a query may select, with their documented names."""
        if self.kind == REST:
            return {"MasterLabel": self.name, "SobjectType": self.sobject, "IsActive": True}
        return {"ValidationName": self.name, "EntityDefinition.QualifiedApiName": self.sobject, "Active": True}


def find_queried_object(query: str) -> str:
    """Return the object of a query; empty if it has another form."""
    match = _QUERY.fullmatch(query.strip())
    return match["object"] if match else ""


def list_rules(rules: list[Rule], query: str, version: str) -> dict[str, Any]:
    """Return the response to a query of rules.

    Raises:
        ApiError: MALFORMED_QUERY or INVALID_FIELD.
    """
    match = _QUERY.fullmatch(query.strip())
    if match is None:
        raise ApiError(400, "MALFORMED_QUERY", "The query is not understood")
    kind = next(kind for kind in (TOOLING, REST) if kind.lower() == match["object"].lower())
    names = [name.strip() for name in match["fields"].split(",")]
    records = [_select(rule, names, version) for rule in rules if rule.kind == kind]
    return {"size": len(records), "totalSize": len(records), "done": True, "entityTypeName": kind, "records": records}


def _select(rule: Rule, names: list[str], version: str) -> dict[str, Any]:
    record: dict[str, Any] = {
        "attributes": {"type": rule.kind, "url": f"/services/data/{version}/sobjects/{rule.kind}"}
    }
    for name in names:
        if name not in rule.values:
            raise ApiError(400, "INVALID_FIELD", f"No such column '{name}' on entity '{rule.kind}'")
        parent, _, child = name.partition(".")
        record |= {parent: {child: rule.values[name]}} if child else {name: rule.values[name]}
    return record
