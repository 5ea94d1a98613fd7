"""The definition of a simulated vendor. Each vendor is one object in its own folder, and one line in `sandbox.vendors`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fastapi import APIRouter, FastAPI

from sandbox.firm.edits import Edit
from sandbox.firm.world import World
from sandbox.server.calls import Calls
from sandbox.server.clock import Clock
from sandbox.server.faults import Faults

Edits = Callable[[str, dict[str, Any]], Edit]
"""Function that applies a person's edit in a vendor's system. It takes the kind and the values, and returns the stored edit."""


@dataclass(frozen=True)
class Setting:
    """The environment of a simulated vendor.

    Attributes:
        world: The synthetic firm, its edits, and the folder of the vendor's state.
        faults: Faults on demand.
        calls: Call counts, which enforce rate limits.
        clock: The sandbox's time.
        pace: Divisor of time limits: at 10, a limit per 60 seconds becomes one per 6 seconds of the sandbox's clock.
        data: Folder of this vendor's own-data files; None serves the synthetic firm.
    """

    world: World
    faults: Faults
    calls: Calls
    clock: Clock
    pace: float = 1.0
    data: Path | None = None


@dataclass(frozen=True)
class Running:
    """A started vendor.

    Attributes:
        app: Mounted at `/<name>`.
        edit: Handles `POST /_sandbox/<name>/<kind>`.
        routes: The vendor's other control routes below `/_sandbox`.
    """

    app: FastAPI
    edit: Edits
    routes: APIRouter = field(default_factory=APIRouter)


class Form(NamedTuple):
    """The form of a value: `read` raises ValueError or TypeError for any other, and `expected` describes it."""

    read: Callable[[Any], Any]
    expected: str


@dataclass(frozen=True)
class SimulatedVendor:
    """One simulated vendor.

    Attributes:
        name: Name of its folder, its path and its Airflow connection.
        start: Starts it; raises ValueError if the data can't be served.
        connect: Takes the world and the sandbox's URL; returns `host`, `login`, `password` and extra fields of the Airflow
            connection.
        own_data: Required fields of each line of `<name>/<table>.jsonl`, by table.
        read: Form by field name, for the fields whose values the sandbox itself uses.
        day: Field with the day of a row of own data; empty if no table has a row per day.
        served_as: The vendor's name of an own-data table, if the file has another.
        closes_at_night: Whether the vendor closes a day only in the following night. The edit `closed_through` closes it
            without the wait.
        list_true_matches: Returns the correct matches, as pairs of a vendor record (`clients:17`) and the firm's record
            (`household:1001`, `person:1001:0`, `account:300001` or `entity:20005`).
    """

    name: str
    start: Callable[[Setting], Running]
    connect: Callable[[World, str], Mapping[str, str]]
    own_data: Mapping[str, tuple[str, ...]]
    read: Mapping[str, Form] = field(default_factory=dict)
    day: str = ""
    served_as: Mapping[str, str] = field(default_factory=dict)
    list_true_matches: Callable[[World], list[tuple[str, str]]] = lambda world: []
    closes_at_night: bool = False
