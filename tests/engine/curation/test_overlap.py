from __future__ import annotations

import random

from engine.curation import alike

WORDS = "river market window orange carpet silver garden letter winter castle button forest pencil".split()


def story(seed: int, length: int = 40) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) + str(rng.randrange(100)) for _ in range(length))


def test_nothing_overlaps_with_nothing() -> None:
    assert alike({}, {}) == frozenset()
    assert alike({1: "a"}, {}) == frozenset()
    assert alike({}, {1: "a"}) == frozenset()


def test_the_same_question_is_found_whatever_its_case_and_spaces() -> None:
    train = {1: "What is  2 + 2?", 2: "What is 2 + 3?", 3: "ｗｈａｔ is 2 + 2?"}
    assert alike(train, {9: "what is 2 + 2?\n"}) == {1, 3}


def test_a_question_that_differs_in_a_word_or_two_is_found() -> None:
    train = {number: story(number) for number in range(30)}
    words = train[7].split()
    changed = " ".join(["Indeed,", *words[:-1], "indeed"]).upper()
    assert alike(train, {1: changed, 2: story(99)}) == {7}


def test_a_part_of_a_question_is_not_the_question() -> None:
    train = {number: story(number) for number in range(30)}
    words = train[7].split()
    assert alike(train, {1: " ".join(words[:30]) + " " + story(98, 10)}) == frozenset()
    assert alike(train, {1: " ".join(words[:36]) + " " + story(98, 4)}) == {7}


def test_a_question_within_a_longer_one_is_found() -> None:
    train = {number: story(number) for number in range(30)}
    assert alike(train, {1: story(97) + " " + train[3] + " " + story(96)}) == {3}


def test_the_words_of_a_template_tell_nothing() -> None:
    template = " tells a long tale that is the same in every question of this task: " + story(95)
    train = {number: f"Name{number}" + template for number in range(50)}
    assert alike(train, {1: "Zoe" + template}) == frozenset()
    assert alike(train, {1: "NAME7" + template}) == {7}


def test_short_questions_are_compared_exactly_only() -> None:
    train = {1: "one two three four five six", 2: "one two three four five seven"}
    assert alike(train, {1: "one two three four five six"}) == {1}


def test_ids_of_train_and_test_do_not_mix() -> None:
    same = story(5)
    assert alike({1: story(1), 2: same}, {1: same, 2: story(2)}) == {2}
