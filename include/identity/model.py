"""The comparisons of Splink's Fellegi-Sunter model, and the weight of each level of agreement.

A level has two probabilities. Only pairs of records that both have a value are counted:

    m    share of pairs at this level, among pairs of records of one person
    u    share of pairs at this level, among pairs of records of two people

The weights are fixed here. Weights learned from a firm's records (expectation maximization) do not link better, and they would change
with every load. Two numbers depend on the firm and are computed in every run: the frequency of a value, which replaces `u` at some levels,
and the prior probability that two records are one person.

Address, telephone and e-mail of a household are a single comparison, `home`, because all people of a house share them. However rare the
address is, its weight is limited by `RARE`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from splink import SettingsCreator

from include.identity.cluster import GENERATION_YEARS

RARE = 3e-4
"""Lower limit of the frequency of an address or telephone number, as a share of the records; it limits the weight of a shared home."""


@dataclass(frozen=True)
class Level:
    """One level of agreement between the values of two records.

    Attributes:
        when: SQL condition; the columns of the two records end in `_l` and `_r`. A pair is at the first level whose condition is true.
        m: Share of pairs at this level, among pairs of records of one person.
        u: Share of pairs at this level, among pairs of records of two people.
        frequency_of: Column whose values are rare or frequent. The frequency of the pair's value replaces `u`. None to use `u`.
        least: Lower limit of that frequency.
        label: Description of a partial agreement, such as `nickname`; empty for full agreement or disagreement.
    """

    when: str
    m: float
    u: float
    frequency_of: str | None = None
    least: float = 0.0
    label: str = ""


@dataclass(frozen=True)
class Comparison:
    """One field, or group of fields, that is compared.

    Attributes:
        name: Name of the comparison in the reasons of links.
        missing: SQL condition that a value to compare is missing.
        levels: Levels of agreement, the strongest first; the last level is disagreement.
    """

    name: str
    missing: str
    levels: tuple[Level, ...]

    @property
    def column(self) -> str:
        """Name of the comparison in SQL. Splink returns the level of a pair in `gamma_<column>`: 0 is disagreement, -1 is missing."""
        return self.name.replace(" ", "_").replace("-", "")

    def describe(self, level: Level) -> str:
        """Return a SQL `when` clause for pairs at a level; its result is the reason, such as `first name (nickname)`."""
        words = f"{self.name} ({level.label})" if level.label else self.name
        return f"when gamma_{self.column} = {len(self.levels) - 1 - self.levels.index(level)} then '{words}'"


def _null(column: str) -> str:
    return f"{column}_l is null or {column}_r is null"


def slip(column: str) -> str:
    """Return the SQL condition that two texts differ by one typing error at most."""
    return f"damerau_levenshtein({column}_l, {column}_r) <= 1"


def _near(left: str, right: str, similarity: float) -> str:
    return f"jaro_winkler_similarity({left}, {right}) >= {similarity}"


_SWAPPED = f"{_near('first_l', 'last_r', 0.85)} and {_near('last_l', 'first_r', 0.85)}"
_SHORT = "starts_with(first_l, first_r) or starts_with(first_r, first_l)"
# Dates a generation apart are a parent's and a child's, even if they look like a typing error. The slow comparison comes last.
_SLIP_OF_DAY = (
    f"case when hamming(birth_l, birth_r) <= 2 and abs(birth_l[:4]::int - birth_r[:4]::int) < {GENERATION_YEARS} "
    f"then {slip('birth')} else false end"
)
_DAY_MONTH = "birth_l[:4] = birth_r[:4] and birth_l[5:6] = birth_r[7:] and birth_l[7:] = birth_r[5:6]"
_CITY = _near("city_l", "city_r", 0.9)
_ONE_UNIT = "coalesce(unit_l = unit_r, true)"
_OTHER_UNIT = "coalesce(street_l = street_r and house_l = house_r and unit_l <> unit_r, false)"
_PLACE = f"(zip_l = zip_r or {_CITY})"
_STREET = _near("street_l", "street_r", 0.88)
_WORD = "list_has_any(string_split(street_l, ' '), string_split(street_r, ' '))"

# Part of a double name, or the name before the marriage, which many use as a middle name. Equal last names are an earlier
# level, so names without a hyphen, which are most, need not be split.
_DOUBLE = (
    "case when contains(last_l, '-') or contains(last_r, '-') "
    "then list_has_any(string_split(last_l, '-'), string_split(last_r, '-')) or replace(last_l, '-', '') = replace(last_r, '-', '') "
    "else false end or last_l = middle_r or middle_l = last_r"
)

COMPARISONS = (
    Comparison(
        "cross reference",
        # Keys of different systems are not evidence. Two keys of one system indicate two people, but a system may list a person twice.
        "not coalesce(list_has_any(key_systems_l, key_systems_r) or list_has_any(person_keys_l, person_keys_r), false)",
        (Level("list_has_any(person_keys_l, person_keys_r)", 0.9, 1e-9), Level("true", 0.1, 0.9)),
    ),
    Comparison(
        "first name",
        _null("first"),
        (
            Level("first_l = first_r", 0.77, 4e-3, "first"),
            Level("list_has_any(roots_l, roots_r)", 0.06, 4e-3, label="nickname"),
            Level(_near("first_l", "first_r", 0.88), 0.06, 8e-3, label="close"),
            Level("first_l = middle_r or middle_l = first_r", 0.01, 2e-3, label="middle name"),
            Level(_SWAPPED, 0.03, 1e-4, label="swapped"),
            Level(_SHORT, 0.02, 1e-2, label="initial or short"),
            Level("true", 0.05, 0.97),
        ),
    ),
    Comparison(
        "last name",
        _null("last"),
        (
            Level("last_l = last_r", 0.82, 1e-3, "last"),
            Level(_near("last_l", "last_r", 0.9), 0.08, 4e-3, label="close"),
            Level(_DOUBLE, 0.02, 1e-3, label="double name"),
            Level(_SWAPPED, 0.03, 1e-4, label="swapped"),
            Level("true", 0.05, 0.99),
        ),
    ),
    Comparison(
        "birth date",
        _null("birth"),
        (
            Level("birth_l = birth_r", 0.9, 5e-5, "birth"),
            Level(_SLIP_OF_DAY, 0.04, 2e-3, label="close"),
            Level(_DAY_MONTH, 0.01, 5e-5, label="day and month swapped"),
            Level("true", 0.05, 0.998),
        ),
    ),
    Comparison(
        "tax id",
        f"({_null('tax')}) and ({_null('tax_last4')})",
        (
            Level("tax_l = tax_r", 0.93, 1e-5, "tax"),
            Level(
                f"case when length(tax_l) + length(tax_r) < 32 then {slip('tax')} else false end",
                0.04,
                2e-5,
                label="close",
            ),
            Level("tax_last4_l = tax_last4_r and (tax_l is null or tax_r is null)", 0.9, 1e-4, label="last four"),
            Level("tax_last4_l = tax_last4_r", 0.005, 1e-4, label="last four only"),
            Level("true", 0.03, 0.9999),
        ),
    ),
    Comparison(
        "e-mail",
        _null("email"),
        (
            Level("email_l = email_r", 0.55, 1e-5, "email", 1e-5),
            Level("true", 0.45, 0.9999),
        ),
    ),
)

# A household's e-mail may be that of any member, so it is evidence for the same home but not for the same person.
_HOME_EMAIL = "coalesce(home_email_l = home_email_r or home_email_l = email_r or email_l = home_email_r, false)"

HOME = Comparison(
    "home",
    f"({_null('phone')}) and ({_null('street')}) and ({_null('city')}) and ({_null('shared_keys')}) and not {_HOME_EMAIL}",
    (
        Level("list_has_any(shared_keys_l, shared_keys_r)", 0.3, RARE, label="household key"),
        Level(
            f"street_l = street_r and house_l = house_r and {_PLACE} and {_ONE_UNIT}",
            0.35,
            RARE,
            "street",
            RARE,
            label="address",
        ),
        Level("phone_l = phone_r", 0.2, RARE, "phone", RARE, label="telephone"),
        Level(_HOME_EMAIL, 0.2, RARE, label="e-mail"),
        Level(
            f"house_l = house_r and {_PLACE} and ({_STREET} or {_WORD}) and {_ONE_UNIT}",
            0.1,
            RARE,
            label="address is close",
        ),
        Level(f"{_PLACE} and {_STREET} and {_ONE_UNIT}", 0.1, RARE, label="street"),
        Level(f"zip_l = zip_r and not {_OTHER_UNIT}", 0.05, 5e-3, "zip", RARE, label="zip"),
        Level(f"{_CITY} and not {_OTHER_UNIT}", 0.05, 1e-2, label="city"),
        Level("true", 0.15, 0.98),
    ),
)

ADDRESS = (
    Comparison("house number", _null("house"), (Level("house_l = house_r", 0.85, 0.015), Level("true", 0.15, 0.985))),
    Comparison(
        "street",
        _null("street"),
        (
            Level("street_l = street_r", 0.6, 1e-5, "street"),
            Level(_STREET, 0.2, 3e-4, label="close"),
            Level(_WORD, 0.13, 3e-3, label="a word"),
            Level("true", 0.07, 0.997),
        ),
    ),
    Comparison(
        "place",
        _null("city"),
        (
            Level("city_l = city_r and zip_l = zip_r", 0.65, 3e-4),
            Level(_CITY, 0.25, 3e-3, label="city"),
            Level("damerau_levenshtein(zip_l, zip_r) <= 1", 0.05, 1e-2, label="zip is close"),
            Level("true", 0.05, 0.98),
        ),
    ),
)

PERSONAL = (
    "tax",
    "birth, last[:3]",
    "birth, first[:3]",
    "birth, zip",
    "tax_last4, last",
    "tax_last4, first",
    "least(first, last), greatest(first, last)",
)
"""Blocking rules, each a list of columns: two records are compared if their values agree in all columns of a rule."""

OF_HOME = (
    "email",
    "home_email",
    "phone",
    "house, street[:5]",
    "house, city[:4]",
    "street, city",
    "street, last",
    "last, zip",
    "last, city",
    "first, street",
    "first, zip",
)
"""Further blocking rules. If the records have households, two records must also share an initial of the first name or its formal name.
Otherwise, all people of a house would be compared with each other."""

TERMS = {
    "first": 1e-3,
    "last": 1e-4,
    "birth": 5e-5,
    "tax": 1e-6,
    "email": 1e-6,
    "phone": 1e-6,
    "street": 1e-5,
    "zip": 1e-4,
}
"""Column -> typical frequency of a value; `SAMPLE` sets its weight against the measured frequency."""

SAMPLE = 1000
"""Weight of the typical frequencies in `TERMS`, as a number of records. In a firm with few records, measured frequencies are unreliable."""


def find_level(name: str, label: str = "") -> int:
    """Return Splink's number for one level of a comparison: 0 is disagreement, and the strongest level has the highest number.

    Args:
        name: Name of the comparison.
        label: Description of the level (`Level.label`); empty for full agreement.
    """
    [compared] = [each for each in (*COMPARISONS, HOME) if each.name == name]
    return len(compared.levels) - 1 - [each.label for each in compared.levels].index(label)


def build_condition(name: str, label: str = "") -> str:
    """Return the SQL condition that a pair of records is at one level of a comparison.

    Args:
        name: Name of the comparison.
        label: Description of the level (`Level.label`); empty for full agreement.
    """
    [compared] = [each for each in (*COMPARISONS, HOME) if each.name == name]
    return f"gamma_{compared.column} = {find_level(name, label)}"


def list_comparisons(*, has_households: bool) -> tuple[Comparison, ...]:
    """Return the comparisons to use.

    Args:
        has_households: Whether people who share an address are among the records. If not, an address identifies a person.
    """
    return (*COMPARISONS, HOME) if has_households else COMPARISONS + ADDRESS


def build_settings(compared: tuple[Comparison, ...], prior: float) -> SettingsCreator:
    """Return Splink's settings.

    Args:
        compared: The comparisons.
        prior: Probability that two records drawn at random are one person.
    """
    return SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="record_id",
        comparisons=[_settings(each) for each in compared],
        probability_two_random_records_match=prior,
        retain_matching_columns=True,  # otherwise Splink does not return a pair's levels
        additional_columns_to_retain=[
            "generation",
            "household",
            "is_registration",
            "middle",
            "is_name",
        ],
    )


def _settings(comparison: Comparison) -> dict[str, Any]:
    missing = {"sql_condition": comparison.missing, "is_null_level": True, "label_for_charts": "missing"}
    levels = [_level(each) for each in comparison.levels]
    return {"output_column_name": comparison.column, "comparison_levels": [missing, *levels]}


def _level(level: Level) -> dict[str, Any]:
    frequency = {
        "tf_adjustment_column": level.frequency_of,
        "tf_minimum_u_value": level.least,
        "disable_tf_exact_match_detection": True,
    }
    return {
        "sql_condition": "ELSE" if level.when == "true" else level.when,
        "label_for_charts": level.when,
        "m_probability": level.m,
        "u_probability": level.u,
    } | (frequency if level.frequency_of else {})
