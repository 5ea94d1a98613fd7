"""The definition of a simulated vendor: one object in its own folder, and one line in `sandbox.vendors`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI

from sandbox.firm.edits import Edit
from sandbox.firm.world import World
from sandbox.server.calls import Calls
from sandbox.server.clock import Clock
from sandbox.server.faults import Faults

Edits = Callable[[str, dict[str, Any]], Edit]
"""Function that applies a person's edit in a vendor's system: kind of edit and values -> the stored edit."""


@dataclass(frozen=True)
class Setting:
    """The environment of a simulated vendor.

    Attributes:
        world: The synthetic firm, its edits, and the folder of the vendor's state.
        faults: Faults on demand.
        calls: Call counts, which enforce rate limits.
        clock: The sandbox's time.
        pace: How many times faster than the clock rate limits pass.
        data: Folder of your own data, served instead of the synthetic firm.
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
        edit: Called by `POST /_sandbox/<name>/<kind>`.
        routes: Further routes below `/_sandbox`.
    """

    app: FastAPI
    edit: Edits
    routes: APIRouter = field(default_factory=APIRouter)


@dataclass(frozen=True)
class SimulatedVendor:
    """One simulated vendor.

    Attributes:
        name: Name of its folder, its path and its Airflow connection.
        start: Starts it; raises ValueError if the data can't be served.
        connect: World and URL of the sandbox -> `host`, `login`, `password` and extra fields of the Airflow connection.
        own_data: Table -> fields that each line of `<name>/<table>.jsonl` must have.
        read: Field that the sandbox itself reads -> its parser, which raises ValueError or TypeError.
        closes_at_night: Whether it closes a day in the following night; the edit `closed_through` closes a day earlier.
        list_true_matches: World -> pairs of this vendor's record (`clients:17`) and the firm's own (`household:1001`, `person:1001:0`, `account:...`).
    """

    name: str
    start: Callable[[Setting], Running]
    connect: Callable[[World, str], Mapping[str, str]]
    own_data: Mapping[str, tuple[str, ...]]
    read: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    list_true_matches: Callable[[World], list[tuple[str, str]]] = lambda world: []
    closes_at_night: bool = False
