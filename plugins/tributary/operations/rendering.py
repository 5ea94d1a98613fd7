"""Render the Operations pages from their templates. All values are escaped."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FOLDER = Path(__file__).parent
"""The folder of the templates, the style and the script."""


def render(template: str, **values: Any) -> str:
    """Return a page. Each value is available to the template by its name."""
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": write_number,
        "money": write_money,
        "moment": write_moment,
        "measure": write_measure,
        "query": urlencode,
    }
    environment.globals["sparkline"] = draw_sparkline
    return environment


def write_number(value: float | Decimal | None) -> str:
    """Return a number with commas between groups of three digits, without zeros at the end of its decimals; empty for None.

    A decimal is exact, so that the smallest break is visible. A float has four decimals.
    """
    if value is None:
        return ""
    text = (
        f"{value:,.4f}" if isinstance(value, float) else f"{value:,f}" if isinstance(value, Decimal) else f"{value:,}"
    )
    return text.rstrip("0").rstrip(".") if "." in text else text


def write_money(value: Decimal | None) -> str:
    """Return dollars and cents, such as `$1,234.50` and `-$3.00`; empty for None."""
    return "" if value is None else f"{'-' if value < 0 else ''}${abs(value):,.2f}"


def write_measure(value: float | None, unit: str) -> str:
    """Return a value with its unit, such as `3 h 05 min`, `$1,234.00`, `6 %` or `12`; empty for None.

    Args:
        value: The value; seconds for a duration.
        unit: `seconds`, `dollars`, `ratio` or `items`.
    """
    if value is None:
        return ""
    if unit == "dollars":
        return write_money(Decimal(f"{value:.2f}"))
    if unit == "ratio":
        return f"{write_number(round(100 * value, 1))} %"
    return _write_duration(value) if unit == "seconds" else write_number(value)


def _write_duration(seconds: float) -> str:
    if seconds < 60:
        return f"{write_number(round(seconds, 1))} s"
    days, rest = divmod(round(seconds / 60), 24 * 60)
    hours, minutes = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def write_moment(value: datetime | date | None) -> str | Markup:
    """Return a time in UTC, which the page's script shows in the viewer's zone; a date as it is; empty for None."""
    if value is None:
        return ""
    if not isinstance(value, datetime):
        return f"{value}"
    return Markup('<time datetime="{}">{} UTC</time>').format(value.isoformat(), f"{value:%Y-%m-%d %H:%M}")


def draw_sparkline(values: Sequence[float | Decimal | None], width: int = 120, height: int = 24) -> Markup:
    """Return a line of values over time as SVG; a missing value interrupts the line.

    The vertical scale goes from zero to the largest of the values, so that the height of a drop shows its true size.
    """
    heights = [None if value is None else float(value) for value in values]
    top = max((height for height in heights if height is not None), default=0) or 1
    step = width / max(1, len(values) - 1)
    points = [
        None if y is None else f"{n * step:.1f},{height - 1 - (height - 2) * y / top:.1f}"
        for n, y in enumerate(heights)
    ]
    lines = Markup("").join(Markup('<polyline points="{}"/>').format(line) for line in _split_lines(points))
    return Markup('<svg class="spark" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width,
        height,
        f"Values from the oldest to the newest: {', '.join('none' if v is None else f'{v:,}' for v in values)}",
        lines,
    )


def _split_lines(points: Sequence[str | None]) -> list[str]:
    """Split points at the gaps (None); return the points of each part as a text. A single point between gaps is repeated."""
    lines: list[list[str]] = [[]]
    for point in points:
        if point is None:
            lines.append([])
        else:
            lines[-1].append(point)
    return [" ".join(line if len(line) > 1 else [line[0], line[0]]) for line in lines if line]
