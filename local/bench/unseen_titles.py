"""Titles of registrations, and names of legal entities, as vendors write them."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date

from local.bench.unseen_lexicon import FullName, draw_family

PERSONAL = {
    "individual": ("Individual|Individual - TOD|Non-Qualified|Taxable", "IND|INDIV|TOD"),
    "jtwros": ("Joint Tenants WROS|JTWROS|Joint - JTWROS|Joint", "JTWROS|JT TEN|JNT"),
    "tic": ("Tenants in Common|Joint - TIC|Joint", "TIC|TEN COM"),
    "community": ("Community Property|Joint - Community Property|Comm Prop WROS", "CP|COMPROP"),
    "entirety": ("Tenants by Entirety|Joint - Tenants by the Entirety", "TBE|TEN ENT"),
    "ira": ("Traditional IRA|IRA", "IRA"),
    "rollover": ("IRA Rollover|Rollover IRA", "IRRL|IRA-ROLL"),
    "roth": ("Roth IRA|Roth Contributory IRA", "ROTH"),
    "sep": ("SEP IRA|SEP-IRA", "SEP"),
    "simple": ("SIMPLE IRA", "SIMPLE"),
    "inherited": ("Beneficiary IRA|Inherited IRA|Inherited Roth IRA", "BENE IRA|BDA"),
    "401k": ("401(K)|Individual 401(k)|403(b)", "401K|403B"),
    "utma": ("UTMA|Custodial - UTMA|UTMA/UGMA|UGMA", "UTMA|UGMA|CUST"),
}
"""Types of the registrations of natural persons: the words of portfolio systems, and the codes of custodians."""

LEGAL = {
    "revocable": ("Revocable Trust|Living Trust|Trust - Revocable|Trust", "TRST|TRUST|REV TR"),
    "irrevocable": ("Irrevocable Trust|Trust - Irrevocable|Trust", "TRST|IRR TR"),
    "charitable": ("Charitable Remainder Trust|CRUT|Trust", "TRST|CRT"),
    "llc": ("LLC|Limited Liability Company|Business", "LLC|BUS"),
    "corporation": ("Corporation|S Corp|Corporate|Business", "CORP"),
    "partnership": ("Partnership|Limited Partnership|Family Limited Partnership", "PART|LP"),
    "foundation": ("Foundation|Non-Profit|Private Foundation|501(c)(3)", "NPO|FDN"),
    "estate": ("Estate", "EST|ESTATE"),
    "plan": ("Profit Sharing Plan|401(k) Plan|Pension Plan|Qualified Plan", "PSP|QRP|PENSION"),
}
"""Types of the registrations of legal entities, in the same form."""

JOINT = ("jtwros", "tic", "community", "entirety")
_ENDS = {
    "jtwros": ("JTWROS", "JT TEN", "JT WROS", "Joint Tenants", "as joint tenants with right of survivorship"),
    "tic": ("TIC", "TEN COM", "Tenants in Common"),
    "community": ("COMMUNITY PROPERTY", "COMM PROP", "CPWROS"),
    "entirety": ("TEN ENT", "TBE", "Tenants by the Entirety"),
}
_AFTER = {
    "ira": ("IRA", "Traditional IRA", "Contributory IRA"),
    "rollover": ("Rollover IRA", "IRA R/O", "IRA Rollover"),
    "roth": ("Roth IRA", "ROTH"),
    "sep": ("SEP IRA", "SEP-IRA"),
    "simple": ("SIMPLE IRA",),
    "inherited": ("Inherited IRA", "Bene IRA"),
    "401k": ("401(k)", "Solo 401k"),
}
_WORDS = (
    "Summit", "Harbor", "Prairie", "Granite", "Evergreen", "Riverbend", "Keystone", "Blue", "Cardinal", "Northgate", "Sandhill", "Meridian",
    "Copper", "Lakeview", "Heritage", "Pinnacle", "Cedar", "Ironwood", "Silverleaf", "Eastfork", "Trailhead", "Beacon", "Redstone",
    "Willow", "Anchor", "Skyline", "Foxglove", "Highland", "Juniper", "Cobalt",
)  # fmt: skip
_TRADES = (
    "Plumbing", "Dental", "Orthopedics", "Farms", "Logistics", "Builders", "Veterinary Clinic", "Consulting", "Landscaping", "Machine Works",
    "Realty", "Electric", "Ranch", "Architects", "Brewing", "Pediatrics", "Auto Body", "Bakery", "Land & Cattle", "Insurance Agency",
    "Wealth Management", "Estate Planning",
)  # fmt: skip


def write_plain(draw: random.Random, name: FullName, *, generation: str | None = None) -> str:
    """Return a name in the order of speech, with its middle name, with an initial or without."""
    middle = name.middle and draw.choice((name.middle, f"{name.middle[0]}.", name.middle[0], "", ""))
    return " ".join(filter(None, (name.given, middle, name.last, generation)))


def write_surname_first(draw: random.Random, name: FullName, *, generation: str | None = None) -> str:
    """Return a name in capitals with the surname first and without a comma, as custodians do."""
    middle = name.middle and draw.choice((name.middle[0], name.middle[0], name.middle, ""))
    return " ".join(filter(None, (name.last, name.given, middle, generation))).upper()


def write_joint(
    draw: random.Random, first: FullName, second: FullName, kind: str, *, is_custodian: bool = False
) -> str:
    """Return the title of a joint registration of two persons.

    Args:
        draw: Source of randomness.
        first: The first owner.
        second: The second owner.
        kind: One of `JOINT`.
        is_custodian: Whether to write capitals with the surname first.
    """
    both = draw.choice((" & ", " & ", " and ")), [write_plain(draw, each) for each in (first, second)]
    if is_custodian:
        texts = [write_surname_first(draw, each) for each in (first, second)]
        if first.last == second.last and draw.random() < 0.5:
            texts[1] = texts[1].removeprefix(first.last.upper()).strip()
        return f"{' & '.join(texts)} {draw.choice(_ENDS[kind][:2])}"
    joined, texts = both
    if first.last == second.last and draw.random() < 0.6:
        texts[0] = texts[0].removesuffix(first.last).strip()
    title = joined.join(texts)
    return f"{title}{draw.choice((' ', ', '))}{draw.choice(_ENDS[kind])}" if draw.random() < 0.6 else title


def write_own(
    draw: random.Random, name: FullName, kind: str, generation: str | None, *, is_custodian: bool = False
) -> str:
    """Return the title of a registration of one person, such as `John A. Smith Roth IRA`."""
    write = write_surname_first if is_custodian else write_plain
    text = write(draw, name, generation=generation)
    if kind not in _AFTER:
        return f"{text} TOD" if draw.random() < 0.08 else text
    after = draw.choice(_AFTER[kind])
    if is_custodian:
        return draw.choice((f"{text} {after}", f"NTC & CO C/F {text} {after}", f"FBO {text} {after}")).upper()
    return draw.choice((f"{text} {after}", f"{text} {after}", f"{text} - {after}", text, f"FBO {text} {after}"))


def write_minor(
    draw: random.Random, minor: FullName, adult: FullName, state: str, *, is_custodian: bool = False
) -> str:
    """Return the title of a minor's registration, with its adult custodian."""
    act = draw.choice(("UTMA", "UTMA", "UGMA"))
    child, parent = (f"{each.given} {each.last}" for each in (minor, adult))
    text = draw.choice(
        (f"{parent} Cust for {child} {act}/{state}", f"{parent} C/F {child} {state} {act}", f"{child} {act} {state}")
    )
    return text.upper() if is_custodian else text


def name_entity(draw: random.Random, kind: str, first: FullName, second: FullName | None = None) -> str:
    """Return the core of a legal entity's name, without its date.

    Args:
        draw: Source of randomness.
        kind: One of `LEGAL`.
        first: The person who controls the entity; of an estate, the deceased.
        second: This person's spouse, if any.
    """
    last, own, word = first.last, write_plain(draw, first), draw.choice(_WORDS)
    both = f"{first.given} and {second.given} {second.last}" if second else own
    other = " ".join(draw_family(draw, "english"))
    trade = draw.choice(_TRADES)
    cores: dict[str, tuple[str, ...]] = {
        "revocable": (f"{own} Revocable Trust", f"{last} Family Trust", f"{both} Living Trust", f"{last} Living Trust", f"{own} Trust"),
        "irrevocable": (f"{own} Irrevocable Trust", f"{last} Children's Trust", f"{last} Irrevocable Life Insurance Trust",
                        f"{last} Dynasty Trust", f"{own} Exempt Trust"),
        "charitable": (f"{last} Charitable Remainder Unitrust", f"{own} Charitable Remainder Trust"),
        "llc": (f"{last} Holdings LLC", f"{own} Holdings LLC", f"{word} {trade} LLC", f"{last} & {other} LLC", f"{word} Properties LLC",
                f"{last} Family Investments LLC"),
        "corporation": (f"{last} {trade} Inc", f"{word} {trade} Inc", f"{last} & Sons Inc", f"{first.given} {last} MD PC",
                        f"{word} {other} Corporation"),
        "partnership": (f"{last} Family Limited Partnership", f"{last} & {other} LLP", f"{word} Partners LP"),
        "foundation": (f"{last} Family Foundation", f"{both} Foundation", f"{word} Community Foundation", f"{last} Charitable Fund"),
        "estate": (f"Estate of {own}", f"{own} Estate"),
        "plan": (f"{last} {trade} PC 401(k) Profit Sharing Plan", f"{word} {trade} Inc Pension Plan", f"{own} Defined Benefit Plan",
                 f"{last} {trade} Profit Sharing Plan & Trust"),
    }  # fmt: skip
    return draw.choice(cores[kind])


def write_entity(
    draw: random.Random, kind: str, core: str, dated: date, trustee: FullName, *, is_custodian: bool = False
) -> str:
    """Return the name of a legal entity as a vendor writes it: with its date, its trustee, abbreviated, or in capitals."""
    for whole, short, share in _SHORT:
        if whole in core and draw.random() < share:
            core = core.replace(whole, draw.choice(short))
    if kind in ("revocable", "irrevocable", "charitable"):
        days = (
            f"{dated.month}/{dated.day}/{dated.year}",
            f"{dated:%m/%d/%Y}",
            f"{dated:%m/%d/%y}",
            f"{dated:%B} {dated.day}, {dated.year}",
        )
        day, person = draw.choice(days), f"{trustee.given} {trustee.last}"
        forms: tuple[Callable[[], str], ...] = (
            lambda: core, lambda: core, lambda: f"The {core}", lambda: f"{core} dated {day}", lambda: f"{core} dtd {day}",
            lambda: f"{core} U/A DTD {day}", lambda: f"{core}, {person} TTEE", lambda: f"{person} TTEE {core} U/A {day}",
            lambda: f"{person} Trustee of the {core}",
        )  # fmt: skip
        core = draw.choice(forms)()
    return core.upper() if is_custodian else core


_SHORT: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("Revocable", ("Rev", "Revoc", "Rev."), 0.4),
    ("Irrevocable", ("Irrev", "Irr"), 0.4),
    ("Family", ("Fam",), 0.15),
    ("Trust", ("Tr", "TR", "Trst"), 0.1),
    (" LLC", (" L.L.C.", ", LLC", " Llc"), 0.4),
    (" LLC", ("",), 0.05),
    (" Inc", (" Inc.", " Incorporated", ", Inc."), 0.5),
    ("Limited Partnership", ("LP", "L.P.", "Ltd Partnership"), 0.5),
    ("Foundation", ("Fdn", "Foundation Inc", "Fndn"), 0.2),
    ("Profit Sharing Plan", ("PSP", "Profit Sharing Pl"), 0.3),
    ("Estate of", ("Est of", "Estate of the late"), 0.15),
    ("The ", ("",), 0.5),
    (" and ", (" & ",), 0.4),
)
