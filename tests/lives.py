"""Lives of events that end and may be reopened: their states by hour, and the state that wins."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

State = tuple[int, bool, int | None]
"""Hour of the change, whether it is an end, hour of the last reopening."""

LIVED = st.lists(st.sampled_from(["goes on", "ends", "is reopened"]), min_size=1, max_size=6)


def states_of(life: Sequence[str]) -> list[State]:
    """Return the state after each hour. A non-final state after an end without a reopening is late or wrong."""
    states: list[State] = []
    reopened: int | None = None
    for n, what in enumerate(life):
        reopened = n if what == "is reopened" else reopened
        states.append((n, what == "ends", reopened))
    return states


def find_winner(states: Sequence[State]) -> int:
    """Return the index of the winning state: the last one, or else the last end that no reopening followed."""
    ends = [n for n, state in enumerate(states) if state[1]]
    if not ends or (states[-1][2] or 0) > ends[-1]:
        return len(states) - 1
    return ends[-1]
