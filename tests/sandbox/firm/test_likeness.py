from datetime import UTC, date, datetime

import pytest

from sandbox.emoney import rows as emoney
from sandbox.firm.likeness import draw_likenesses, has_household, write_couple, write_email
from sandbox.firm.world import World
from sandbox.moneyguidepro import rows as moneyguidepro
from sandbox.nitrogen import rows as nitrogen
from sandbox.server.clock import Clock
from sandbox.tamarac import house


@pytest.fixture(scope="module")
def households(tmp_path_factory):
    clock = Clock()
    clock.set(datetime(2026, 11, 20, 23, tzinfo=UTC))
    return World(tmp_path_factory.mktemp("state"), clock, first=date(2026, 11, 16)).open_book().households


def test_vendor_returns_the_same_likeness_again(households):
    assert draw_likenesses(7, "emoney", households[5]) == draw_likenesses(7, "emoney", households[5])


def test_vendors_err_independently_of_each_other(households):
    emoney, tamarac = (
        [likeness.first_name for house in households for likeness in draw_likenesses(7, vendor, house)]
        for vendor in ("emoney", "tamarac")
    )
    assert emoney != tamarac


@pytest.mark.parametrize(("field", "low", "high"), [("first_name", 0.08, 0.3), ("last_name", 0.02, 0.15)])
def test_names_differ_now_and_then(households, field, low, high):
    pairs = [
        pair for house in households for pair in zip(draw_likenesses(7, "emoney", house), house.people, strict=True)
    ]
    differing = sum(getattr(likeness, field) != getattr(person, field) for likeness, person in pairs)
    assert low < differing / len(pairs) < high


def test_some_have_moved_some_share_an_address_and_some_have_none(households):
    likenesses = [(house, draw_likenesses(7, "nitrogen", house)) for house in households]
    assert 0 < sum(people[0].home != house.home for house, people in likenesses) < 40
    assert any(p.email == write_email(house, 0) for house, people in likenesses for p in people[1:])
    assert any(p.email is None for _, people in likenesses for p in people)


def test_spouse_is_known_by_another_last_name_now_and_then(households):
    couples = [house for house in households if len(house.people) == 2]
    likenesses = [(house.people[1].last_name, draw_likenesses(7, "emoney", house)[1].last_name) for house in couples]
    assert any(known[:3] != own[:3] for own, known in likenesses)


def test_couple_is_written_as_one_name(households):
    couples = [people for house in households if len(people := draw_likenesses(7, "moneyguidepro", house)) == 2]
    together = next(people for people in couples if people[0].last_name == people[1].last_name)
    head, spouse = together
    assert write_couple(together) == f"{head.first_name} & {spouse.first_name} {head.last_name}"
    apart = next(people for people in couples if people[0].last_name != people[1].last_name)
    assert write_couple(apart) == f"{apart[0].name} & {apart[1].name}"


def test_first_household_is_known_to_all_and_the_others_to_their_share():
    vendors = (emoney.SHARE, moneyguidepro.SHARE, nitrogen.SHARE, house.SHARE)
    assert all(has_household(seed, share, 0) for share in vendors for seed in range(20))
    shares = [sum(has_household(7, share, n) for n in range(4000)) / 4000 for share in vendors]
    assert shares == pytest.approx([0.6, 0.4, 0.8, 0.15], abs=0.03)
    both = sum(has_household(7, emoney.SHARE, n) and has_household(7, moneyguidepro.SHARE, n) for n in range(4000))
    assert both / 4000 == pytest.approx(0.1, abs=0.02)
