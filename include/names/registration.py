"""Read a registration, the legal form in which accounts are owned: its kind, its legal entity if there is one, and its parties.

Portfolio vendors send a title such as `Jane Doe TTEE Doe Family Trust DTD 1/2/2003`, a type in words of the firm's own choice, and a tax
id. All three are evidence: the tax id of a revocable trust is usually a person's, and the title of an IRA often names its custodian.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from include.names.census import is_rather_given
from include.names.organization import PARTNERSHIPS, find_legal_form, has_legal_form, sounds_like_organization
from include.names.person import split_people

ENTITY_KINDS = frozenset({"trust", "estate", "company", "partnership", "foundation", "retirement_plan"})
"""Kinds of which a legal entity may be the owner. A participant's account in a retirement plan has that kind, but no entity."""


class Party(NamedTuple):
    """A person or organization that a registration names.

    Attributes:
        name: The name without designations such as TTEE.
        role: `owner`, `joint owner`, `trustee`, `grantor`, `beneficiary`, `custodian`, `minor`, `officer`, `executor` or `decedent`.
    """

    name: str
    role: str


class Registration(NamedTuple):
    """The result of reading a registration: its kind, owners and other parties.

    Attributes:
        kind: `individual`, `joint`, `ira`, `roth_ira`, `sep_ira`, `simple_ira`, `inherited_ira`, `education`, `utma`, `guardianship`, or
            one of `ENTITY_KINDS`.
        named: The parties that it names, without the legal entity itself: role, and the words of the title. `parties` reads the words.
        entity: Name of the legal entity that is the owner; None if the owners are natural persons.
        people: The words of the title that name the one or two natural persons who are owners, in their order; empty for a legal entity.
    """

    kind: str
    named: tuple[tuple[str, str], ...]
    entity: str | None
    people: str = ""

    @property
    def parties(self) -> tuple[Party, ...]:
        """Return the people and organizations that it names. The second owner is the joint owner."""
        return tuple(party for role, text in self.named for party in _read_parties(role, text))


_Read = tuple[str, list[tuple[str, str]]]
"""The words that name the owners, and the role and words of each other party."""


def _compile(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


_PLAN = r"\b(?:40[13] ?\(?[abk]\)?|457(?: ?\(?[bf]\))?|keogh|pension|profit.?sharing|psp|esop|money purchase|defined (?:benefit|contribution)|retirement (?:plan|trust)|employees? (?:benefit|retirement)|cash balance)(?!\w)"
_INHERITED = r"\b(?:inherited|inh|bene\w*|bda|dec'?d|stretch)\b.*\bira\b|\bira\b.*\b(?:inherited|inh|bene\w*|bda|dec'?d|stretch)\b"
# If several patterns match, the first one counts: a SEP IRA is an IRA, and the type "Joint Trust" a trust.
_TYPES = tuple(
    (kind, _compile(words))
    for kind, words in (
        ("individual", r"^individual\b(?! (?:retirement|40|ira|\(|sep|roth))"),
        ("inherited_ira", _INHERITED),
        ("retirement_plan", _PLAN),
        ("roth_ira", r"\broth"),
        ("sep_ira", r"\b(?:sep|sarsep|simplified employee)\b"),
        ("simple_ira", r"\bsimple\b(?! trust)"),
        ("ira", r"\b(?:irar?|individual retirement|roll-?over|conduit)\b"),
        ("education", r"\b(?:529|coverdell|esa|education\w*)\b"),
        ("utma", r"\b(?:u[tg]ma?|uniform .*minors?|minors?|custodial)\b"),
        ("guardianship", r"\b(?:guardian\w*|conservator\w*)\b"),
        ("estate", r"\b(?:estates?|est|decedent\w*)\b"),
        ("foundation", r"\b(?:foundation|fdn|non.?profit|not.for.profit|charit\w+(?! (?:remainder|lead))|endowment|501)\b"),
        ("trust", r"\b(?:trusts?|tr|trst|revocable|irrevocable|rev|irrev|rlt|ilit|[cg]r[au]?t|cl[au]t|qprt|testamentary|ttee|u/?a|charitable)\b"),
        ("partnership", r"\b(?:partnership|l\.?l?\.?l?\.?p|g\.?p|flp)\b"),
        ("company", r"\b(?:corp\w*|company|l\.?l\.?c|pllc|inc\w*|business|entity|organi[sz]ation|unincorporated|association|church|religious)\b"),
        ("joint", r"\b(?:joint\w*|jt\w*|tic|ten(?:ants?|ancy)\b.*|tbe|wros|comm?(?:unity)? prop\w*|cpwros|cp)\b"),
        ("individual", r"\b(?:ind|indiv\w*|single|personal|tod|pod|sole prop\w*|brokerage|taxable|transfer on death)\b"),
    )
)  # fmt: skip
_LEGAL_FORM, _SOUND = "legal form", "sound"
_TITLES = tuple(
    (kind, _compile(words))
    for kind, words in (
        ("inherited_ira", _INHERITED),
        ("roth_ira", r"\broth ira\b"),
        ("sep_ira", r"\bsep[ -]ira\b"),
        ("simple_ira", r"\bsimple ira\b"),
        ("ira", r"(?<!^)(?<!, )\bira\b|^ira (?:fbo|f/b/o|of|for)\b"),
        ("retirement_plan", _PLAN),
        ("utma", r"\b(?:u[tg]ma?|c/f|a minor)\b|\bcust(?:odian)?\.? (?:for|f/?b/?o)\b|\bunif(?:orm)? (?:gifts?|transfers?)\b"),
        ("guardianship", r"\b(?:guardian|conservator|gdn|gdnshp)\b"),
        ("foundation", r"\b(?:(?:foundation|fdn|fndn|endowment)(?! repair| drilling| contract\w+| capital| medicine| dental| partners)|donor.advised|daf|scholarship|philanthrop\w+|charitable (?:fund|giving|gift)|giving (?:fund|account))\b"),
        ("estate", r"^(?:the )?est(?:ate)?\.? of\b|(?<!^)\b(?:estate|dec'?d|deceased)\b\W*(?:$|,)"),
        (_LEGAL_FORM, ""),
        ("trust", r"\b(?:ttees?|trustees?|u/a(?:/?d)?|uad|u/?w/?o|unitrust|annuity trust|ilit|rlt|crut|crat|grat|clat|clut|qprt|qtip|idgt|revocable|irrevocable|testamentary|(?:liv(?:ing)?|rev|irrev|fam(?:ily)?|marital) tr)\b|\b(?:trust|trst)\b(?! co)|(?<=\w )\btr\b"),
        (_SOUND, ""),
    )
)  # fmt: skip

_FBO = _compile(r"[\s,]+(?:f/?b/?o|for the benefit of)[\s,]+")
_FOR = _compile(
    r"(?:^|[\s,]+)(?:(?:as )?cust(?:odian)?\.? )?(?:f/?b/?o|for the benefit of|c/f)[\s,]+|[\s,]+(?:as )?cust(?:odian)?\.? for[\s,]+"
)
_CUSTODIAN = _compile(
    r"[\s,]+(?:as )?(?:c/f|cust(?:odian)?\.?)(?: (?:for|f/?b/?o))?[\s,]+|[\s,]+(?:as )?cust(?:odian)?\.?$"
)
_GUARDIAN = _compile(r"[\s,]+(?:as )?(?:guardian|conservator|gdn)(?: (?:for|of))?[\s,]+")
_MINORS_ACT = _compile(
    r"[\s,(]+(?:an? minor|(?:under (?:the )?)?(?:[a-z]{2}[ /-])?u[tg]ma?\b.*|(?:under )?(?:the )?(?:\w+ )?unif(?:orm)? .*)$"
)
_TRUSTEE = r"(?:as )?(?:the )?(?:co-?|successor )?(?:ttees?|trustees?)\b\.?"
_TRUSTEES_FIRST = _compile(
    rf"^(?P<people>.+?)[\s,]+{_TRUSTEE}[\s,]*(?:(?:of|for|u/?a/?d?|uad|under)\b[\s,]*)?(?P<trust>.*)$"
)
_TRUSTEES_LAST = _compile(
    rf"^(?P<trust>.*\b(?:trust|tr)\b(?:[^,]*\d[\d/-]+\d)?)[\s,]+(?P<people>[^\d,][^,]*?)[\s,]+{_TRUSTEE}$"
)
_DATED = _compile(
    r"[\s,(]*\b(?:u/?[at]/?d?|uad|utd|dtd|dated|under agreement)\b.*$|[\s,]+\d{1,2}[/-]\d{1,2}[/-]\d{2,4}.*$"
)
_OF_TRUST = _compile(
    r"\b(?:the|trusts?|tr|trst|rlt|ilit|revocable|irrevocable|rev|irrev|living|liv|family|fam|marital|bypass|credit shelter|survivors?|testamentary"
    r"|charitable|remainder|unitrust|annuity|lead|gst|exempt|dynasty|spousal|joint|special needs|supplemental needs|qualified|personal residence"
    r"|grantor|retained|life insurance|education|residuary|inter ?vivos|no|[a-d]|ii+|\d+)\b[.']?"
)  # fmt: skip
_OF_PLAN = _compile(r"\b(?:plans?|pl|trust|tr)\b")
_ESTATE = _compile(r"^(?:the )?est(?:ate)?\.? of (?:the late )?|[\s,(]+(?:estate|deceased|dec'?d)\W*$")
_TITLED = _compile(r"[\s,]+(?P<role>(?:managing |general |sole )?(?:member|partner|manager|mgr)|president|pres|secretary|treasurer|ceo|cfo|owner|director|execut\w+|exec|pers(?:onal)? rep\w*|admin\w*|p/?r)\.?$")  # fmt: skip
_OF_IRA = _compile(
    r"[\s,-]+(?:roth|roll-?over|r/o|sep|simple|contributory|conv(?:ersion)?)\W*$"
)  # in a title that is known to be an IRA
_ESTATE_OF = _compile(r"\best(?:ate)?\b|,.*\b(?:execut\w+|admin\w*|pers(?:onal)? rep\w*)\b")
_DECEASED = _compile(r"\b(?:dec'?d|deceased)\b")
_EXECUTOR = _compile(r"exec|pers|admin|p/?r$")
_ACCOUNT = _compile(
    r"(?:^|[\s,(-]+)(?:(?:trad(?:itional)?|roth|roll-?over|r/?o|sep|simple|inher(?:ited)?|inh|bene(?:ficiary)?|spousal|contributory|solo|individual|uni)[\s-]+)*"
    rf"(?:(?<!^)(?<!, )\bira\b|\bbda\b|\b529\b|{_PLAN})(?:\W+(?:plan|account|acct|roll-?over|bda|inherited|bene(?:ficiary)?))*"
    r"|[\s,(-]+(?:individual|joint|brokerage|taxable|personal|investment|agency|managed)? ?\b(?:account|acct)\b\W*$"
    r"|[\s,(]+(?:dec'?d|deceased)\b[^\w&/]*"
)  # fmt: skip


def read_registration(
    title: str | None, registration_type: str | None = None, tax_id_form: str | None = None
) -> Registration:
    """Read a registration, or the name of a party that may be a person or a legal entity.

    Args:
        title: The registration's title.
        registration_type: The vendor's type, such as `Revocable Trust` or `JTWROS`; a code may stand beside it.
        tax_id_form: `ein` or `ssn`, from how the vendor writes the tax id; None if unknown.
    """
    text = " ".join((title or "").split())
    if not text:
        return Registration("individual", (), None)
    kind = _find_kind(text, registration_type or "", tax_id_form)
    if kind == "retirement_plan" and not _is_plan(_FOR.split(text)[-1]):
        return _read_owners(text, kind)  # a participant's account
    return _read_entity(text, kind) if kind in ENTITY_KINDS else _read_owners(text, kind)


def _is_plan(text: str) -> bool:
    """Return whether a text names a plan or its sponsor, and not a participant."""
    return bool(_OF_PLAN.search(text)) or has_legal_form(text) or sounds_like_organization(text)


def _find_kind(text: str, registration_type: str, tax_id_form: str | None) -> str | None:
    """Return the kind; None if there is no sign of it, which is how an individual's or a joint title may look."""
    stated = next((kind for kind, pattern in _TYPES if pattern.search(registration_type)), None)
    titled, is_doubtful = _find_kind_in_title(text)
    is_of_persons = stated is not None and stated not in ENTITY_KINDS
    is_doubtful = is_doubtful or (titled == "company" and _may_own_in_person(text, stated, tax_id_form))
    is_trust = re.search(r"(?i)trust(?!.*\bira\b)", registration_type) and titled in ENTITY_KINDS and not is_doubtful
    if is_of_persons and stated not in ("individual", "joint") and not is_trust:
        return stated  # "Custodian Trust Company FBO Jane Doe" is her IRA
    if titled in ENTITY_KINDS and not (is_doubtful and (is_of_persons or tax_id_form != "ein")):
        return titled if stated not in ENTITY_KINDS or not is_doubtful else stated
    if stated is not None and (titled is None or titled in ENTITY_KINDS or stated in ENTITY_KINDS):
        return stated
    return titled if titled is not None and titled not in ENTITY_KINDS else "company" if tax_id_form == "ein" else None


def _may_own_in_person(text: str, stated: str | None, tax_id_form: str | None) -> bool:
    """Return whether a title that sounds like a company may be a person's name: `Robert James Parish`, `Linda Co`."""
    if stated not in ("individual", "joint") and tax_id_form != "ssn":
        return False
    form = find_legal_form(_DATED.sub("", text))
    return form is None or (form in ("co", "pa") and is_rather_given(text.split()[0].casefold()))


def _find_kind_in_title(text: str) -> tuple[str | None, bool]:
    """Return the kind that the words of a title state, and whether the title may be a person's name, such as `Amy Church`."""
    is_person = _could_be_person(text)
    bare = _DATED.sub("", text)
    for kind, pattern in _TITLES:
        if kind == _LEGAL_FORM:
            form = find_legal_form(_TITLED.sub("", bare).rpartition(",")[0] or bare) or find_legal_form(bare)
            if form and not re.search(_TRUSTEE, text, re.IGNORECASE):
                return ("partnership" if form in PARTNERSHIPS else "company"), False
        elif kind == _SOUND:
            if sounds_like_organization(bare):
                return "company", is_person
        elif (kind == "utma" and _has_custodian_company(text)) or (kind == "estate" and _names_survivor(text)):
            continue
        elif pattern.search(text):
            return kind, is_person and kind in ENTITY_KINDS
    return ("ira" if _has_custodian_company(text) else None), False


def _names_survivor(text: str) -> bool:
    """Return whether one of several owners is dead, as in `Ada & Ben Sample (Decd)`: the joint account is no estate."""
    is_one_dead = _DECEASED.search(text) and not _ESTATE_OF.search(text)
    return bool(is_one_dead) and len(_list_owners(_ACCOUNT.sub(" ", text))) > 1


def _has_custodian_company(text: str) -> bool:
    """Return whether a company is the custodian, as of an IRA; the custodian of a minor is a person."""
    custodian, *owner = _FOR.split(text, maxsplit=1)
    return bool(owner) and (find_legal_form(custodian) is not None or sounds_like_organization(custodian))


def _could_be_person(text: str) -> bool:
    """Return whether a title has the form of a name: a known given name, perhaps an initial, and one more word."""
    words = text.casefold().replace(".", "").replace(",", " ").split()
    is_short = len(words) == 2 or (len(words) == 3 and len(words[1]) == 1)
    return is_short and is_rather_given(words[1] if "," in text and len(words) == 2 else words[0])


def _read_entity(text: str, kind: str) -> Registration:
    """Read a registration of a legal entity."""
    head, *rest = _FBO.split(text, maxsplit=1)
    named = [("beneficiary", _DATED.sub("", _TRUSTEES_FIRST.sub(r"\g<people>", rest[0])))] if rest else []
    if kind == "retirement_plan":
        return Registration(kind, tuple(named), text)
    trustees = _TRUSTEES_LAST.match(head) or _TRUSTEES_FIRST.match(head)
    name = trustees["trust"].strip(" ,") if trustees else head
    if len(_DATED.sub("", name).split()) < 2:
        name = text  # "Jane Doe TTEE U/A DTD 1/2/2003": the trust has no name of its own
    if trustees:
        named.insert(0, ("trustee", trustees["people"]))
    first, comma, titled = name.rpartition(",")
    if comma and (title := _TITLED.search(f" {titled}")):
        name, role = first, "executor" if _EXECUTOR.match(title["role"]) else "officer"
        named.append((role, _TITLED.sub("", titled)))
    if kind == "estate":
        named.append(("decedent", _ESTATE.sub("", name)))
    elif kind == "trust":
        named.append(("grantor", " ".join(_OF_TRUST.sub(" ", _DATED.sub("", name)).split())))
    return Registration(kind, tuple(named), name.strip(" ,"))


def _read_owners(text: str, kind: str | None) -> Registration:
    """Read a registration of natural persons."""
    read = {"utma": _read_minor, "guardianship": _read_ward}.get(kind or "", _read_account)
    people, others = read(_OF_IRA.sub("", text) if kind and kind.endswith("ira") else text)
    kind = kind or ("joint" if len(_list_owners(people)) > 1 else "individual")
    return Registration(kind, (("minor" if kind == "utma" else "owner", people), *others), None, people)


def _read_minor(text: str) -> _Read:
    """Read `Ada Sample CUST FOR Amy Sample UTMA/CA` or `Amy Sample UTMA Ada Sample CUST`."""
    custodian, *rest = _CUSTODIAN.split(_FBO.sub(" FBO ", text), maxsplit=1)
    minor = _MINORS_ACT.sub("", rest[0]) if rest and rest[0] else ""
    if not minor:
        minor, *rest = re.split(r"(?i)[\s,(]+(?:an? minor\b|u[tg]ma?(?:/[a-z]{2})?\b)[\s,)]*", text, maxsplit=1)
        custodian = _CUSTODIAN.sub("", rest[0]) if rest and _CUSTODIAN.search(rest[0]) else ""
    return minor, [("custodian", custodian)]


def _read_ward(text: str) -> _Read:
    """Read `Ada Sample Guardian for Tim Sample`."""
    guardian, *rest = _GUARDIAN.split(text, maxsplit=1)
    return (rest[0], [("custodian", guardian)]) if rest else (text, [])


def _read_account(text: str) -> _Read:
    """Read the owners, and the party before `FBO`: the custodian of an IRA, or the dead person whose IRA was inherited."""
    head, *owned = _FOR.split(text, maxsplit=1)
    people = _ACCOUNT.sub(" ", owned[0] if owned else head).strip(" ,")
    if not owned or _ACCOUNT.fullmatch(f" {head}"):
        return people, []
    if _DECEASED.search(head):
        return people, [("decedent", _ACCOUNT.sub(" ", head))]
    return people, [("custodian", _CUSTODIAN.sub("", f"{head} "))]


def _read_parties(role: str, text: str) -> list[Party]:
    names = _list_owners(text) if role == "owner" else _list_people(text)
    if role == "owner":
        return [Party(name, of) for name, of in zip(names, ("owner", "joint owner"), strict=False)]
    # "The Doe Family Trust" does not name its grantor.
    return [Party(name, role) for name in names if role != "grantor" or " " in name]


def _list_owners(text: str) -> Sequence[str]:
    """Return the names of the natural persons in a text."""
    return [name for name in split_people(text.strip(" ,.-")) if name]


def _list_people(text: str) -> Sequence[str]:
    """Return the names of the people or the one organization in a text."""
    bare = text.strip(" ,.-")
    is_organization = find_legal_form(bare) or (sounds_like_organization(bare) and not _could_be_person(bare))
    return [bare] if is_organization else _list_owners(bare)
