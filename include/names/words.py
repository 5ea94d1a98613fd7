"""Plain text, and the words that names are made of besides the names themselves."""

from __future__ import annotations

import re
import string
import unicodedata


def lexicon(text: str) -> frozenset[str]:
    """Return the set of a text's words."""
    return frozenset(text.split())


TITLES = lexicon(
    "mr mrs ms miss drs messrs mx mme mlle dr doctor prof professor rev reverend hon honorable sir dame lord lady fr father sister rabbi pastor "
    "deacon imam judge justice capt captain col colonel lt lieutenant maj sgt cpl cdr cmdr adm gov sen rep amb attorney"
)

DESIGNATIONS = lexicon(
    "md facs facp faan facog faap dr.ph drph mha mpa sphr dmin thd edm msn bsn dc dpt otr pt ccrn fnp ccim leed pmp "
    "dds dmd dvm pharmd dpm psyd rn lpn crna aprn dnp phd edd jd llm llb mph mba msw lcsw bsn msn cpa cfa cfp chfc clu cltc aif aams "
    "cima cpwa ricp crpc crps cdfa chsa cebs frm caia cmt esq esquire ret retired usn usmc usaf uscg"
)
"""Degrees and professional designations."""

AMBIGUOUS_DESIGNATIONS = lexicon("do od np pa ea ba bs ma ms cam cpm pe aia jr.")
"""Designations that are also names or initials; they count only after a comma, or if they are written with points."""

GENERATIONS = {
    "sr": "1", "senior": "1", "jr": "2", "jnr": "2", "junior": "2", "ii": "2", "2nd": "2", "iii": "3", "3rd": "3", "iv": "4", "4th": "4",
    "v": "5", "5th": "5", "vi": "6", "6th": "6", "vii": "7",
}  # fmt: skip

PARTICLES = lexicon(
    "van von vander vonder der den de del dela della delos di da dal du dos das do la las le los lo san santa st saint ste ter ten te "
    "bin ibn al el abu ben bint zu zur af av mac mc fitz"
)
"""Words that belong to the family name that follows them."""

# Latin letters that Unicode does not decompose, as they are written in ASCII. Apostrophes are removed.
_LETTERS = str.maketrans(dict.fromkeys("'’‘`´") | {"ß": "ss", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "æ": "ae", "Æ": "AE", "đ": "d", "Đ": "D", "ı": "i", "þ": "th", "ð": "d", "œ": "oe"})  # fmt: skip
_DOTTED = re.compile(
    r"(?<![^\s,(])(?:[^\W\d_]{1,5}\.)+[^\W\d_]{1,5}\.?(?![^\s,)])|(?<![^\s,(])(?:[^\W\d_]{1,5}\.){2,}(?![^\s,)])"
)
_ACCENTS = re.compile("[\u0300-\u036f]")
_OTHER = str.maketrans(dict.fromkeys({*map(chr, range(32)), *string.punctuation, "\x7f"} - {*",&+-"}, " "))
"""The characters of ASCII that `plain` replaces with a blank."""


def plain(text: str | None) -> str:
    """Return a text in lower case without accents and apostrophes; the only punctuation left is `,`, `&`, `+` and `-`.

    Latin letters become ASCII. Letters of other scripts stay as they are. A degree loses its points: `M.D.` becomes `md`.
    """
    folded = (text or "").translate(_LETTERS).casefold()
    if not folded.isascii():
        bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", folded))
        folded = "".join(map(_keep_letter, unicodedata.normalize("NFKC", bare)))
    if "." in folded:
        folded = _DOTTED.sub(_join_degree, folded)
    return " ".join(folded.translate(_OTHER).split())


def _keep_letter(letter: str) -> str:
    return letter if letter.isascii() or letter.isalnum() or unicodedata.category(letter).startswith("M") else " "


def _join_degree(found: re.Match[str]) -> str:
    joined = found[0].replace(".", "")
    if joined in DESIGNATIONS:
        return joined
    return f", {joined}" if joined in AMBIGUOUS_DESIGNATIONS and found.start() else found[0]
