"""The identity review pages: plain HTML without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from include.identity.decisions import REASON_LENGTH, Decided, Pair, Record

_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color: #1a1a1a } nav a { margin-right: 1rem }
section { border: 1px solid #d0d0d0; padding: 0.8rem 1rem; margin: 0 0 1.2rem } p { margin: 0.4rem 0 }
table { border-collapse: collapse; margin: 0.3rem 0 } th, td { padding: 0.15rem 0.8rem 0.15rem 0; text-align: left; font-weight: 400 }
th { color: #555 } thead th { color: #1a1a1a; font-weight: 600 } .same { color: #0b5d1e } .other { color: #8a1f11 }
.message { background: #f4f4f4; padding: 0.4rem 0.8rem } input[name=reason] { width: 24rem; max-width: 100% }
"""

_PLACES = {"": "To decide", "links": "Links", "decisions": "Decisions"}

# Enter submits a form with its first button. This one is disabled, so Enter does nothing.
_NO_DEFAULT = '<button disabled hidden aria-hidden="true"></button>'

_BUTTONS = {"": (("true", "Same"), ("false", "Not the same")), "links": (("false", "Separate"),)}


def render_queue(pairs: Sequence[Pair], total: int, offset: int, titles: Mapping[str, str], message: str = "") -> str:
    """Return the review queue: pairs side by side, each with two buttons.

    Args:
        pairs: One page of pairs.
        total: Number of all pairs.
        offset: Number of pairs before these.
        titles: Vendor -> display name.
        message: A message about the user's last action.
    """
    shown = "".join(_pair(pair, titles, "") for pair in pairs) or "<p>No pairs to decide.</p>"
    return _page("", shown + _pager(len(pairs), total, offset), message)


def render_links(
    pairs: Sequence[Pair], total: int, offset: int, titles: Mapping[str, str], name: str = "", message: str = ""
) -> str:
    """Return the links, the least certain first, each with a button that separates it.

    `name` is the search text; the other arguments are those of `render_queue`.
    """
    # A name in the address would stay in logs and in the browser's history.
    search = (
        f'<form method="post" action="links"><input name="name" aria-label="Name" value="{escape(name)}"> '
        "<button>Search by name</button></form><p>Separated records stay separate, whatever the evidence.</p>"
    )
    shown = "".join(_pair(pair, titles, "links") for pair in pairs) or "<p>No links found.</p>"
    return _page("links", search + shown + _pager(len(pairs), total, offset, name), message)


def render_decisions(decided: Sequence[Decided], titles: Mapping[str, str], message: str = "") -> str:
    """Return the decisions, the newest first. A decision that no run has used yet has an Undo button.

    Args:
        decided: The decisions, the newest first.
        titles: Vendor -> display name.
        message: A message about the user's last action.
    """
    head = _row("th", "time", "decided by", "entity", "records", "decision", "reason", "")
    rows = []
    for each in decided:
        d = each.decision
        cells = _row(
            "td", f"{d.decided_at:%Y-%m-%d %H:%M} UTC", d.decided_by, d.entity,
            f"{_named(each.left, titles)}; {_named(each.right, titles)}",
            "undone" if d.is_withdrawn else _word(d.is_same), d.reason,
        )  # fmt: skip
        rows.append(cells.replace("</tr>", f"<td>{_undo(each)}</td></tr>"))
    return _page("decisions", f"<table><thead>{head}</thead>{''.join(rows)}</table>", message)


def _named(record: Record, titles: Mapping[str, str]) -> str:
    name = record.facts.get("name")
    return f"{name} ({_title(record, titles)})" if name else _title(record, titles)


def _undo(decided: Decided) -> str:
    if not decided.is_pending:
        return ""
    hidden = f'<input type="hidden" name="decision_id" value="{decided.decision.decision_id}">'
    return f'Not yet applied by a run. <form method="post" action="undo">{hidden}<button>Undo</button></form>'


def _page(place: str, body: str, message: str = "") -> str:
    links = " ".join(f'<a href="{path or "./"}">{title}</a>' for path, title in _PLACES.items())
    note = f'<p class="message" role="status">{escape(message)}</p>' if message else ""
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Identity review</title><style>{_STYLE}</style>'
        f"<nav>{links}</nav><h1>Identity review: {_PLACES[place].lower()}</h1>{note}{body}</html>"
    )


def _pair(pair: Pair, titles: Mapping[str, str], place: str) -> str:
    score = "" if pair.score is None else f", score {pair.score:.1f}"
    note = ""
    if pair.decision is not None:
        by, reason = escape(pair.decision.decided_by), escape(pair.decision.reason)
        note = f"<p>{by} decided: {_word(pair.decision.is_same)}. {reason}</p>"
    return (
        f"<section><table><thead>{_row('th', pair.entity, *(_title(r, titles) for r in (pair.left, pair.right)))}</thead>"
        f"{_facts(pair)}</table><p>Evidence: {escape(pair.how)}{score}. "
        f'Agreed: <span class="same">{escape(", ".join(pair.agreed) or "nothing")}</span>. '
        f'Differed: <span class="other">{escape(", ".join(pair.differed) or "nothing")}</span>.</p>'
        f"{note}{_form(pair, place)}</section>"
    )


def _facts(pair: Pair) -> str:
    rows = []
    for name in dict.fromkeys([*pair.left.facts, *pair.right.facts]):
        left, right = pair.left.facts.get(name), pair.right.facts.get(name)
        if left is right is None:
            continue
        mark = "" if left is None or right is None else "same" if left.casefold() == right.casefold() else "other"
        cells = "".join(f'<td class="{mark}">{escape(value or "")}</td>' for value in (left, right))
        rows.append(f"<tr><th>{escape(name)}</th>{cells}</tr>")
    return "".join(rows)


def _title(record: Record, titles: Mapping[str, str]) -> str:
    if not record.vendor:
        return f"{record.id}, no longer exists"
    second = ", second person" if record.id < 0 else ""
    return f"{titles.get(record.vendor, record.vendor)} {record.key}{second}"


def _form(pair: Pair, place: str) -> str:
    if pair.entity == "household":
        return "<p>Determined by its members.</p>"
    hidden: dict[str, object] = {"place": place, "entity": pair.entity, "left": pair.left.id, "right": pair.right.id}
    hidden |= {"seen": pair.decision.decision_id} if pair.decision else {}
    fields = "".join(f'<input type="hidden" name="{name}" value="{value}">' for name, value in hidden.items())
    is_apart = pair.decision is not None and not pair.decision.is_same  # from the next run on
    choices = (("true", "Same"),) if is_apart else _BUTTONS[place]
    buttons = [f'<button name="is_same" value="{value}">{text}</button>' for value, text in choices]
    return (
        f'<form method="post" action="decide">{_NO_DEFAULT}{fields}<input name="reason" required maxlength="{REASON_LENGTH}" '
        f'aria-label="Reason" placeholder="Reason"> {" ".join(buttons)}</form>'
    )


def _pager(shown: int, total: int, offset: int, name: str = "") -> str:
    last = offset + shown
    more = f' <a href="?offset={last}">Next</a>' if last < total else ""
    if more and name:
        hidden = f'<input type="hidden" name="name" value="{escape(name)}"><input type="hidden" name="offset" value="{last}">'
        more = f'<form method="post" action="links">{hidden}<button>Next</button></form>'
    return f"<p>{offset + 1} to {offset + shown} of {total:,}.{more}</p>" if shown else ""


def _word(is_same: bool) -> str:
    return "the same" if is_same else "not the same"


def _row(tag: str, *cells: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"
