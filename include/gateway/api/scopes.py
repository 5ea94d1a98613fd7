"""The scopes that a caller can have. A scope holds for all vendors; a suffix limits it to a vendor or to a table.

records:write                    every table of every vendor
records:write:<vendor>           every table of one vendor
records:write:<vendor>.<table>   one table
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from include.gateway.problem import Refusal

SCOPES = {
    "runs:write": "Start runs on demand",
    "records:write": "Push records",
    "status:read": "Read vendors, runs, pushes and freshness",
    "findings:read": "Read findings of the business rules, which describe households and accounts",
    "dead_letters:read": "Read dead letters, without their content",
    "dead_letters:replay": "Replay dead letters",
    "metrics:read": "Read health signals and metrics",
}
WITHOUT_TABLES = frozenset({"findings:read", "metrics:read"})
"""Scopes that can be limited to a vendor, but not to a table: a finding is about a vendor's clients, and most metrics are about a vendor."""
REALM = 'Bearer realm="tributary"'
_SHAPE = re.compile(r"([a-z_]+:[a-z_]+)(?::([a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?))?")


@dataclass(frozen=True, slots=True)
class Permission:
    """A caller's permission under one scope.

    Attributes:
        caller: The caller's name.
        scope: One of `SCOPES`.
        targets: The vendors (`<vendor>`) and tables (`<vendor>.<table>`) to which the caller's scopes are limited; None for no limit.
    """

    caller: str
    scope: str
    targets: frozenset[str] | None

    def covers(self, vendor: str, table: str = "") -> bool:
        """Return whether the permission holds for a table; without a table, for every table of the vendor."""
        return self.targets is None or vendor in self.targets or f"{vendor}.{table}" in self.targets

    def check(self, vendor: str, *tables: str) -> None:
        """Raise `Refusal` (403) unless the permission holds for each of the tables; without tables, for every table of the vendor."""
        for table in tables or ("",):
            if not self.covers(vendor, table):
                raise refuse(f"{self.scope}:{vendor}.{table}" if table else f"{self.scope}:{vendor}")

    def check_filter(self, vendor: str | None, table: str | None = None) -> None:
        """Raise `Refusal` (403) if a list is filtered by a vendor or a table that the caller may not see at all."""
        if vendor and not table and any(each.startswith(f"{vendor}.") for each in self.targets or ()):
            return
        if vendor:
            self.check(vendor, *filter(None, [table]))


def find_permission(caller: str, scopes: Iterable[str], scope: str) -> Permission:
    """Return the permission of a caller with these scopes under one scope; raise `Refusal` (403) if the caller does not have that scope."""
    granted = {target for base, target in map(split, scopes) if base == scope}
    if not granted:
        raise refuse(scope)
    return Permission(caller, scope, None if None in granted else frozenset(filter(None, granted)))


def split(text: str) -> tuple[str, str | None]:
    """Return a scope without its limit, and the vendor or table that limits it (None for no limit); ("", None) for an unknown scope."""
    match = _SHAPE.fullmatch(text)
    if match is None or match[1] not in SCOPES or (match[3] and match[1] in WITHOUT_TABLES):
        return "", None
    return match[1], match[2]


def refuse(scope: str) -> Refusal:
    """Return the refusal (403) of a request for which the caller lacks a scope."""
    headers = {"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{scope}"'}
    return Refusal(403, f"This request needs the scope {scope}", headers)
