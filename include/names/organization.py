"""Names of organizations and trusts: their legal form, words that only they bear, and a key that two spellings share."""

from __future__ import annotations

import re
from functools import cache

from include.names.words import lexicon, plain

WORDS = lexicon(
    "holdings enterprises properties ventures investments group associates consulting services industries international management "
    "solutions systems technologies realty builders construction partners capital advisors farms ranch vineyards church ministries diocese "
    "parish temple synagogue bank university college school academy association society club hospital clinic dental medical orthodontics "
    "veterinary pharmacy restaurant motors logistics trucking plumbing electric landscaping bakery cafe hotel museum library institute "
    "council league union fund brothers sons bros mfg manufacturing designs studio productions media labs foundry works supply "
    "rentals leasing development developers homeowners condominium cooperative coop charities mission rescue shelter"
)
_FORMS = {
    "llc": "llc", "l l c": "llc", "limited liability company": "llc", "limited liability co": "llc", "pllc": "pllc", "llp": "llp",
    "limited liability partnership": "llp", "lllp": "lllp", "lp": "lp", "l p": "lp", "limited partnership": "lp", "ltd partnership": "lp",
    "flp": "lp", "general partnership": "gp", "gp": "gp", "partnership": "gp", "inc": "inc",
    "incorporated": "inc", "corp": "corp", "corporation": "corp", "company": "co", "co": "co", "ltd": "ltd", "limited": "ltd", "pc": "pc",
    "p c": "pc", "professional corporation": "pc", "pa": "pa", "plc": "plc", "lc": "llc",
    "gmbh": "gmbh", "bv": "bv", "nv": "nv", "srl": "srl", "sarl": "sarl", "pty": "pty",
}  # fmt: skip
"""Legal form as it is written -> its short form."""

PARTNERSHIPS = frozenset({"llp", "lllp", "lp", "gp"})
# Short forms, so that "Doe Fam Rev Tr" and "The Doe Family Revocable Trust" have one key.
_SHORT = {
    "tr": "trust", "trst": "trust", "trusts": "trust", "rlt": "revocable living trust", "rev": "revocable", "revoc": "revocable",
    "irrev": "irrevocable", "irr": "irrevocable", "irrevoc": "irrevocable", "liv": "living", "fam": "family", "fdn": "foundation", "fndn": "foundation",
    "found": "foundation", "char": "charitable", "est": "estate", "assoc": "associates", "props": "properties", "prop": "properties",
    "mgmt": "management", "intl": "international", "svcs": "services", "svc": "services", "invs": "investments", "inv": "investments",
    "hldgs": "holdings", "hldg": "holdings", "ptnrs": "partners", "ptrs": "partners", "ent": "enterprises", "bros": "brothers", "psp": "profit sharing plan",
    "grp": "group", "assn": "association", "constr": "construction", "tech": "technologies",
}  # fmt: skip
_NOISE = lexicon("the of and ttee ttees trustee trustees")
_DATE = re.compile(r"\b(\d{1,2})[-/](\d{1,2})[-/](\d{4}|\d{2})\b")
_DATED = re.compile(
    r"(?i)[\s,(]*\b(?:u/?[at](?:/?d)?|uad|utd|dtd|d/t/d|dated|under agreement)\b.*|(?:\d{1,4}[-/]){2}\d{2,4}.*"
)
_MONTHS = {
    name: at
    for at, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], start=1
    )
}
_IN_WORDS = re.compile(r"(?i)\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? (\d{1,2}),? (\d{4})\b")


@cache
def find_legal_form(text: str) -> str | None:
    """Return the short legal form at the end of an organization's name, such as `llc`; None if it has none."""
    words = _split(text)
    longest = min(3, len(words) - 1)
    return next((form for count in range(longest, 0, -1) if (form := _FORMS.get(" ".join(words[-count:])))), None)


def has_legal_form(text: str) -> bool:
    """Return whether any word of a text is a legal form."""
    return any(word in _FORMS for word in _split(text)[1:])


def sounds_like_organization(text: str) -> bool:
    """Return whether a name has a word that organizations have in their names. But a person may also be called Church or Banks."""
    words = _split(text)
    return bool(set(words[1:]) & WORDS) or words[:2] == ["trust", "company"]


@cache
def key_of(text: str) -> str:
    """Return a text that two spellings of one legal entity's name share, such as `doe family revocable trust`.

    Abbreviations and legal forms are written in one way. The date of a trust, articles and punctuation are left out.
    """
    words = _split(_DATED.sub("", text))
    words = " ".join(_SHORT.get(word, word) for word in words if word not in _NOISE).split()
    for count in (3, 2, 1):
        if len(words) > count and (form := _FORMS.get(" ".join(words[-count:]))):
            return " ".join([*words[:-count], form])
    return " ".join(words)


def date_of(text: str) -> str | None:
    """Return the date of a trust as `yyyymmdd`; None if its name has none."""
    found = _DATE.search(_IN_WORDS.sub(lambda m: f"{_MONTHS[m[1][:3].lower()]}/{m[2]}/{m[3]}", text))
    if found:
        month, day, year = (int(part) for part in found.groups())
        year += (2000 if year < 30 else 1900) if year < 100 else 0
        return f"{year:04}{month:02}{day:02}"
    return None


def _split(text: str) -> list[str]:
    return re.sub(r"[,&+-]", " ", plain(text)).split()
