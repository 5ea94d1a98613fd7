"""Load the firm's own rules: Python files in `rules/`, in the form of those in `include/rules`.

A file defines `RULES`, `HOUSEHOLD_RULES` or both: tuples of `Rule`. It may import the product, and no other file of the folder.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

from include.firm.content import RULES as RULES_FOLDER
from include.firm.document import Difference, Faults, Place
from include.rules import HOUSEHOLD_RULES, RULES
from include.rules.household_view import HouseholdView
from include.rules.rule import Rule
from include.rules.snapshot import Snapshot

_TUPLES = ("RULES", "HOUSEHOLD_RULES")
_SEVERITIES = get_args(get_type_hints(Rule)["severity"])
_FORM = 'Write `RULES = (Rule("name", function, "warning", "Subject of the Task", 2),)`; see docs/how-to/changing_business_rules.md.'


def load_rules(
    folder: Path, faults: Faults, differences: list[Difference]
) -> tuple[tuple[Rule[Snapshot], ...], tuple[Rule[HouseholdView], ...]]:
    """Load the files, and return the rules on a vendor's day and those on the household view.

    Args:
        folder: The firm's folder.
        faults: Receives the mistakes.
        differences: Receives the rules that are added.
    """
    found: dict[str, list[Rule[Any]]] = {name: [] for name in _TUPLES}
    taken = {rule.name for rule in RULES} | {rule.name for rule in HOUSEHOLD_RULES}
    for path in sorted((folder / RULES_FOLDER).glob("*.py")):
        name = f"{RULES_FOLDER}/{path.name}"
        module = _load(path, name, faults)
        if module is None or not ast.parse(path.read_text(encoding="utf-8")).body:
            continue
        if not any(hasattr(module, each) for each in _TUPLES):
            faults.add(Place(name, 1), f"The file defines neither {' nor '.join(_TUPLES)}", _FORM)
        for each in _TUPLES:
            place = Place(name, _find_line(path, each))
            for rule in _check(getattr(module, each, ()), each, place, taken, faults):
                found[each].append(rule)
                differences.append(
                    Difference(place, f"rule {rule.name}", "", f"{rule.severity}, {rule.task_subject or 'no Task'}")
                )
    return tuple(found["RULES"]), tuple(found["HOUSEHOLD_RULES"])


def _load(path: Path, name: str, faults: Faults) -> ModuleType | None:
    spec = importlib.util.spec_from_file_location(f"firm_rules.{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # the folder is mounted for reading only
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        faults.add(Place(name, error.lineno or 1), f"The file is not valid Python: {error.msg}", "Correct the syntax.")
        return None
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        place = Place(name, (lines[-1] if lines else 1) or 1)
        faults.add(place, f"The file can't be loaded: {type(error).__name__}: {error}", "Correct this line.")
        return None
    finally:
        sys.dont_write_bytecode = before
    return module


def _check(rules: Any, name: str, place: Place, taken: set[str], faults: Faults) -> Sequence[Rule[Any]]:
    if not isinstance(rules, tuple | list) or not all(isinstance(rule, Rule) for rule in rules):
        faults.add(place, f"{name} is not a tuple of Rule", _FORM)
        return ()
    valid = []
    for rule in rules:
        if rule.name in taken:
            faults.add(
                place,
                f"Another rule is called {rule.name}",
                "Give the rule a name of its own, such as one that begins with the firm's.",
            )
        elif rule.severity not in _SEVERITIES:
            faults.add(
                place,
                f"{rule.severity!r} is not a valid severity (rule {rule.name})",
                f"Write {' or '.join(_SEVERITIES)}.",
            )
        elif not callable(rule.evaluate):
            faults.add(place, f"The rule {rule.name} has no function", _FORM)
        else:
            taken.add(rule.name)
            valid.append(rule)
    return valid


def _find_line(path: Path, name: str) -> int:
    """Return the line that defines a name; 1 if none does."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((n for n, line in enumerate(lines, 1) if line.startswith((f"{name} ", f"{name}:", f"{name}="))), 1)
