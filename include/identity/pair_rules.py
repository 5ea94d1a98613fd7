"""What makes a scored pair of records doubtful or certain: rules that lower a score, excuses for a different value, and a veto.

Each is an SQL condition on the columns of Splink's predictions.
"""

# ruff: noqa: S608  (the SQL is made of our own column names and numbers; no text of the data is in it)

from __future__ import annotations

from dataclasses import dataclass

from include.identity import model
from include.identity.cluster import GENERATION_YEARS
from include.identity.policy import Policy
from include.identity.scored import EVIDENT, EXCUSABLE
from include.names.person import EITHER_SEX

_SAME_NUMBER = f"{model.build_condition('birth date')} or gamma_tax_id > 0"
_SAME_PERSONAL = f"({_SAME_NUMBER} or gamma_cross_reference = 1)"
_SAME_TAX = (
    f"(gamma_tax_id >= {model.find_level('tax id', 'last four')} and not {model.build_condition('tax id', 'close')})"
)

_OTHER_FIRST = (
    f"gamma_first_name = 0 and not ({model.build_condition('birth date')} and {_SAME_TAX}) "
    "and not (gamma_birth_date <> 0 and gamma_cross_reference = 1)"
)


@dataclass(frozen=True)
class Rule:
    """A reason why a pair is less likely to be one person than its score suggests.

    The score adds up independent evidence, but members of a household share last name, address and telephone, sometimes the e-mail, and
    clerks enter the head's tax id for all members. The numbers of each rule were measured on labeled data.

    Attributes:
        name: Name of the rule, as reviewers read it.
        when: SQL condition.
        off: Bits that the rule subtracts from the score.
        most: Highest score that a pair can have under the rule.
    """

    name: str
    when: str
    off: float
    most: float = 40.0

    @property
    def reduced_score(self) -> str:
        """SQL expression of the score after the rule; null if the rule does not apply."""
        return f"case when {self.when} then least(match_weight - {self.off}, {self.most}) end"


_AT_HOME = f"gamma_home >= {model.find_level('home', 'address is close')}"
# Two numbers that differ by one typing error. Consecutive numbers, as siblings have, are not an error.
_SLIP_OF_LAST4 = f"(tax_last4_l = tax_last4_r or {model.slip('tax_last4')} and abs(try_cast(tax_last4_l as int) - try_cast(tax_last4_r as int)) <> 1)"
_SWAPPED = model.find_level("first name", "swapped")
_ONE_BIRTH = f"{_OTHER_FIRST} and {model.build_condition('birth date')}"
_ONLY_NAME = f"gamma_home <= {model.find_level('home', 'zip')} and gamma_email < 1 and gamma_birth_date < 1 and not {_SAME_PERSONAL}"
_EITHER = ", ".join(f"'{name}'" for name in sorted(EITHER_SEX))
# `Pat` and `Patricia` of one home may be husband and wife.
_IS_EITHER = f"{model.build_condition('first name', 'nickname')} and (first_l in ({_EITHER}) or first_r in ({_EITHER}))"

RULES = (
    Rule("other first name", f"{_OTHER_FIRST} and not {model.build_condition('birth date')}", off=13, most=2.2),
    Rule("other first name and tax id", f"{_ONE_BIRTH} and gamma_tax_id = 0", off=13, most=0.2),
    Rule("other first name, same birth date", f"{_ONE_BIRTH} and gamma_email < 1", off=9, most=2.5),
    Rule("other first name, same birth date and e-mail", f"{_ONE_BIRTH} and gamma_email > 0", off=7, most=2.9),
    Rule(
        "only an initial",
        f"{model.build_condition('first name', 'initial or short')} and length(least(first_l, first_r)) = 1 and not {_SAME_PERSONAL}",
        off=5,
        most=2.8,
    ),
    Rule("nickname of men and women", f"{_IS_EITHER} and gamma_email > 0 and not {_SAME_PERSONAL}", off=3, most=2.8),
    Rule(
        "Jr or Sr in one record only",
        f"generation_l is distinct from generation_r and not {_SAME_PERSONAL}",
        off=9,
        most=1.2,
    ),
    Rule(
        "first names of twins",
        f"({model.build_condition('first name', 'close')} or {model.build_condition('first name', 'initial or short')}) "
        f"and is_name_l and is_name_r and length(least(first_l, first_r)) > 1 "
        f"and not ({_SAME_TAX} or gamma_cross_reference = 1)",
        off=9,
        most=2.8,
    ),
    Rule("other middle initial", f"middle_l[1] <> middle_r[1] and not {_SAME_PERSONAL}", off=9, most=0.3),
    Rule(
        "other middle initial, same birth date",
        "middle_l[1] <> middle_r[1] and gamma_tax_id < 1 and gamma_cross_reference < 1 and gamma_email < 1",
        off=9,
        most=2.8,
    ),
    Rule(
        "other last name, birth date that is only close",
        f"gamma_last_name = 0 and gamma_birth_date > 0 and not {model.build_condition('birth date')} and gamma_email < 1 and gamma_cross_reference < 1",
        off=4,
        most=2,
    ),
    Rule(
        "birth date that is only close",
        f"gamma_birth_date > 0 and not {model.build_condition('birth date')} "
        f"and gamma_tax_id < 1 and gamma_email < 1 and gamma_cross_reference < 1 and gamma_home <= {model.find_level('home', 'zip')}",
        off=4,
    ),
    Rule("other key of one system", f"gamma_cross_reference = 0 and not ({_SAME_NUMBER})", off=9, most=0.2),
    Rule(
        "two members of a household",
        "household_l = household_r and not ("
        "(gamma_tax_id > 0 or gamma_cross_reference = 1) and gamma_first_name <> 0 "
        f"or ({model.build_condition('birth date')} or gamma_email > 0) and gamma_first_name >= {model.find_level('first name', 'nickname')} "
        "or is_registration_l and is_registration_r)",
        off=8,
        most=0.1,
    ),
    Rule("nothing but the name", f"{_ONLY_NAME} and gamma_first_name <> {_SWAPPED} and gamma_email < 0", off=2.7),
    Rule(
        "nothing but the name, other e-mail",
        f"{_ONLY_NAME} and gamma_first_name <> {_SWAPPED} and gamma_email = 0",
        off=4,
    ),
    Rule("nothing but the name, in another order", f"{_ONLY_NAME} and gamma_first_name = {_SWAPPED}", off=4),
    Rule(
        "other tax id",
        f"gamma_tax_id = 0 and gamma_birth_date < 1 and gamma_email < 1 and gamma_cross_reference < 1 and not {_SLIP_OF_LAST4}",
        off=3,
    ),
)
"""If several rules apply, the one counts that leaves the least. Source of the numbers: decision 0060."""

_SAME_NAME = f"""
    gamma_first_name >= {model.find_level("first name", "nickname")} and gamma_last_name > 0 and generation_l is not distinct from generation_r
    and coalesce(middle_l[1] = middle_r[1], true)
"""
# Two birth dates of which one has another day, month or year.
_SLIP_OF_PART = f"""
    (birth_l[:4] = birth_r[:4])::int + (birth_l[5:6] = birth_r[5:6])::int + (birth_l[7:] = birth_r[7:])::int = 2
    and abs(birth_l[:4]::int - birth_r[:4]::int) < {GENERATION_YEARS}
"""
# The name and other evidence agree, so that a different value is an error in one of the two records. A pair without two different values
# excuses nothing: the people of its records may differ by values of their other records.
_EXCUSES = {
    "tax id": f"""
        {_SAME_NAME} and tax_l <> tax_r and gamma_birth_date <> 0 and least(length(tax_l), length(tax_r)) > 16 and {_SLIP_OF_LAST4}
        and ({model.build_condition("birth date")} or gamma_email > 0 or {_AT_HOME})""",
    "birth date": f"""
        {_SAME_NAME} and birth_l <> birth_r and ({model.build_condition("tax id")} and abs(birth_l[:4]::int - birth_r[:4]::int) < {GENERATION_YEARS}
        or gamma_tax_id <> 0 and {_SLIP_OF_PART} and (gamma_email > 0 or {_AT_HOME}))""",
}
_IS_EVIDENT = f"{_SAME_NAME} and gamma_cross_reference = 1 and ({model.build_condition('birth date')} or {model.build_condition('tax id')})"
# A pair that meets one of these conditions is dropped: different people of one house, or a parent and a child with the same name.
_VETO = """
    (gamma_first_name = 0 and gamma_birth_date <= 0 and gamma_tax_id <= 0 and gamma_cross_reference < 1)
    or (generation_l is distinct from generation_r and gamma_birth_date = 0)
"""


def explain(compared: tuple[model.Comparison, ...], scored: str, policy: Policy) -> str:
    """Return the SQL query that turns Splink's predictions into LINKS, with the columns `excuse` and `limit`.

    Args:
        compared: The comparisons of the model; they name what agreed and what differed.
        scored: Name of the table of Splink's predictions.
        policy: The thresholds. Without households, no rule applies, and no pair is left out.
    """
    agreed = ", ".join(f"case {' '.join(each.describe(level) for level in each.levels[:-1])} end" for each in compared)
    differed = ", ".join(f"case when gamma_{each.column} = 0 then '{each.name}' end" for each in compared)
    rules = RULES if policy.has_households else ()
    # What each rule leaves is a column, because DuckDB takes longer to plan a text that repeats it than to score a small firm.
    left = [f"left_{number}" for number, _ in enumerate(rules)]
    held = " ".join(
        f"when least({', '.join(left)}) = {one} then '{rule.name}'" for one, rule in zip(left, rules, strict=True)
    )
    columns = ", ".join(["*", *(f"{rule.reduced_score} as {one}" for one, rule in zip(left, rules, strict=True))])
    bits = ((2**at, _EXCUSES[name]) for at, name in enumerate(EXCUSABLE))
    excuses = " + ".join(f"case when {when} then {bit} else 0 end" for bit, when in (*bits, (EVIDENT, _IS_EVIDENT)))
    excuse = excuses if policy.has_households else "0"
    others = f"coalesce(list_sort([match_weight, {', '.join(left)}])[2], match_weight)" if rules else "match_weight"
    return f"""
        from (select record_id_l as "left", record_id_r as "right", round(least(match_weight, {", ".join(left) or "null"}), 2) as score,
               list_filter([{agreed}], lambda x: x is not null) as agreed,
               list_filter([{differed}], lambda x: x is not null) as differed,
               case when gamma_cross_reference = 1 or {model.build_condition("tax id")} then 'key' else 'model' end as how,
               {f"case {held} end" if held else "null::text"} as rule, cast({excuse} as tinyint) as excuse, round({others}, 2) as "limit"
        from (select {columns} from {scored} where not coalesce({_VETO if policy.has_households else "false"}, false)))
        where score >= {policy.review_score}"""
