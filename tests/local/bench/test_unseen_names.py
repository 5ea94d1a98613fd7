"""The labeled names: their number, and labels that agree with the texts."""

from __future__ import annotations

from collections import Counter

from local.bench.unseen_names import ENTITY_KINDS, make_joint_titles, make_labeled_names, make_single_names


def test_corpora_have_their_sizes_without_duplicates() -> None:
    for corpus, size in ((make_joint_titles(), 500), (make_labeled_names(), 2000), (make_single_names(), 500)):
        assert len({label.text for label in corpus}) == len(corpus) == size


def test_same_seed_gives_the_same_corpora() -> None:
    for make in (make_joint_titles, make_labeled_names, make_single_names):
        assert make() == make()
        assert make(seed=1) != make()


def test_joint_title_contains_the_names_of_both() -> None:
    for text, people, style, _ in make_joint_titles():
        for name in (part for person in people for part in person if part):
            assert name.casefold() in text.casefold(), style


def test_name_of_one_person_contains_its_parts() -> None:
    for label in make_single_names():
        assert label.first.casefold() in label.text.casefold()
        assert label.last.casefold() in label.text.casefold()


def test_kinds_include_every_entity_and_persons_of_misleading_names() -> None:
    labels = make_labeled_names()
    counts = Counter(label.kind for label in labels)
    assert counts.keys() == {"person", "joint", "utma"} | ENTITY_KINDS
    assert sum(counts[kind] for kind in ENTITY_KINDS) == 1000
    words = {word for label in labels if label.kind == "person" for word in label.text.casefold().split()}
    assert words >= {"trust", "banks", "church", "estate", "king"}
