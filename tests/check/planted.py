"""A fault planted in the sandbox or in the configuration, and the one finding that must name it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from include.check.report import Finding, State
from tests.conftest import Firm


@dataclass(frozen=True)
class Planted:
    """One fault: how it is planted, and the subject, state and words of the finding that names it."""

    name: str
    vendor: str
    plant: Callable[[Firm], object]
    subject: str
    says: str
    state: State = "red"


def list_concerns(findings: Iterable[Finding]) -> dict[str, State]:
    """Map the subjects of amber and red findings to their states."""
    return {finding.subject: finding.state for finding in findings if finding.state in ("amber", "red")}


def find(findings: Iterable[Finding], subject: str) -> Finding:
    return next(finding for finding in findings if finding.subject == subject)


def fault(route: str, kind: str, **options: Any) -> Callable[[Firm], object]:
    """Plant a fault of the sandbox; the route is below the vendor's own path."""

    def plant(firm: Firm) -> object:
        return firm.sandbox.admin("faults", route=f"/{firm.vendor.name}/*{route}", kind=kind, **options)

    return plant


def connect(**changes: Any) -> Callable[[Firm], object]:
    """Change the connection; keys of its extra as `extra_<name>`."""

    def plant(firm: Firm) -> None:
        extra = {name.removeprefix("extra_"): value for name, value in changes.items() if name.startswith("extra_")}
        plain = {name: value for name, value in changes.items() if not name.startswith("extra_")}
        firm.connection = replace(firm.connection, extra={**firm.connection.extra, **extra}, **plain)

    return plant


def edit(path: str, **values: Any) -> Callable[[Firm], object]:
    """Edit the vendor's own system."""
    return lambda firm: firm.sandbox.admin(f"{firm.vendor.name}/{path}", **values)


def turn_machine_clock(**by: float) -> Callable[[Firm], None]:
    """Turn the clock of this machine."""

    def plant(firm: Firm) -> None:
        ours = firm.site.machine_clock
        firm.site = replace(firm.site, machine_clock=lambda: ours() + timedelta(**by))

    return plant
