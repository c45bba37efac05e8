from __future__ import annotations

import random

from engine.curation import overlapping

WORDS = "river market window orange carpet silver garden letter winter castle button forest pencil".split()
TEMPLATE = "A coin is heads up. {} flips the coin. {} does not flip the coin. Is the coin still heads up?"


def story(seed: int, length: int = 40) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) + str(rng.randrange(100)) for _ in range(length))


def test_nothing_overlaps_with_nothing() -> None:
    assert overlapping({}, {}) == frozenset()
    assert overlapping({1: "a"}, {}) == frozenset()
    assert overlapping({}, {1: "a"}) == frozenset()


def test_the_same_question_is_found_whatever_its_case_and_spaces() -> None:
    train = {1: "What is  2 + 2?", 2: "What is 2 + 3?", 3: "ｗｈａｔ is 2 + 2?"}
    assert overlapping(train, {9: "what is 2 + 2?\n"}) == {1, 3}


def test_a_question_that_differs_in_a_word_or_two_is_found() -> None:
    train = {number: story(number) for number in range(30)}
    words = train[7].split()
    changed = " ".join(["Indeed,", *words[:-1], "indeed"]).upper()
    assert overlapping(train, {1: changed, 2: story(99)}) == {7}


def test_half_of_a_question_is_not_the_question() -> None:
    train = {number: story(number) for number in range(30)}
    half = " ".join(train[7].split()[:20]) + " " + story(98, 20)
    assert overlapping(train, {1: half}) == frozenset()


def test_a_question_within_a_longer_one_is_found() -> None:
    train = {number: story(number) for number in range(30)}
    assert overlapping(train, {1: story(97) + " " + train[3] + " " + story(96)}) == {3}


def test_the_words_of_a_template_tell_nothing() -> None:
    names = [f"Name{number}" for number in range(120)]
    train = {
        number: TEMPLATE.format(names[number % 10], names[10 + number % 7])
        + " Think about it step by step please."
        for number in range(50)
    }
    test = {1: TEMPLATE.format("Zoe", "Yara") + " Think about it step by step please."}
    assert overlapping(train, test) == frozenset()


def test_short_questions_are_compared_exactly_only() -> None:
    train = {1: "one two three four five six", 2: "one two three four five seven"}
    assert overlapping(train, {1: "one two three four five six"}) == {1}


def test_ids_of_train_and_test_do_not_mix() -> None:
    same = story(5)
    assert overlapping({1: story(1), 2: same}, {1: same, 2: story(2)}) == {2}
