from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.limits.buckets import Bucket
from daemon.limits.key_limits import KeyLimits
from daemon.limits.rates import RATES, Reservation
from engine.teachers.headers import RateHeaders
from tests.daemon.simulation import (
    AtOnce,
    ClosedUntil,
    FixedWindow,
    Server,
    SlidingWindow,
    TokenBucket,
    simulate,
)


def limits(**given):
    return lambda now: KeyLimits(now, **given)


@pytest.mark.parametrize("server", [SlidingWindow, FixedWindow, TokenBucket])
@pytest.mark.parametrize("latency", [0.05, 0.5])
def test_a_right_limit_is_used_and_not_exceeded(server, latency) -> None:
    result = simulate(
        limits(requests_per_minute=3000),
        server(latency=latency, jitter=0.3, delay_jitter=0.02),
        seconds=90,
    )
    assert result.used(3000, end=90) >= 0.99
    assert result.refused <= 5


def test_three_thousand_requests_take_a_minute() -> None:
    result = simulate(limits(requests_per_minute=3000), SlidingWindow(latency=0.1), requests=3000)
    assert result.seconds <= 60.5
    assert result.refused == 0


@pytest.mark.parametrize("server", [SlidingWindow, TokenBucket])
@pytest.mark.parametrize("given", [6000, None])
@pytest.mark.parametrize("concurrency", [None, 200])
def test_a_limit_that_is_wrong_or_unknown_is_found_out(server, given, concurrency) -> None:
    result = simulate(
        limits(requests_per_minute=given, concurrency=concurrency),
        server(latency=0.5, jitter=0.3, delay_jitter=0.02),
        seconds=120,
    )
    assert result.used(3000, end=120) >= 0.95
    assert result.refused <= 150


def test_a_server_that_counts_in_minutes_is_not_asked_in_vain() -> None:
    result = simulate(limits(requests_per_minute=6000), FixedWindow(latency=0.5), seconds=120)
    assert result.used(3000, end=120) >= 0.95
    assert result.refused <= 10


@pytest.mark.parametrize("retry_after", [None, 1.0])
@pytest.mark.parametrize("concurrency", [None, 64])
def test_a_server_that_takes_twenty_at_once(retry_after, concurrency) -> None:
    server = AtOnce(latency=0.2, limit=20, retry_after=retry_after)
    result = simulate(limits(concurrency=concurrency), server, requests=1000)
    assert result.seconds <= 12
    assert result.refused <= 40


def test_refusals_before_the_first_answer_teach_no_rate() -> None:
    key = KeyLimits(0.0)
    for at in (0.0, 5.0, 5.5):
        assert key.ready_at(at, 100) <= at
        key.limited(key.take(at, 100), at, retry_after=5.0 if at < 5.5 else 0.5)
    assert key.rates.requests.rate is None
    assert key.ready_at(6.0, 100) <= 6.0


@pytest.mark.parametrize("concurrency", [None, 64])
def test_a_server_that_refuses_everything_for_eight_seconds(concurrency) -> None:
    server = ClosedUntil(latency=0.05, until=1008.0, retry_after=5.0)
    result = simulate(limits(concurrency=concurrency), server, requests=200)
    assert result.seconds <= 10
    assert result.calls <= 240
    early = [at for at in result.sends if 0.1 < at < 5.0]
    assert early == [], "a Retry-After is kept"


def test_ten_thousand_requests_at_a_thousand_in_flight() -> None:
    result = simulate(limits(concurrency=1000), Server(latency=0.5), requests=10_000)
    assert result.seconds <= 10_000 / 1_900
    assert result.most == 1000


def test_an_unset_concurrency_is_found_upwards() -> None:
    result = simulate(limits(), Server(latency=0.5), requests=10_000)
    assert result.most > 900
    assert result.seconds < 10


def test_a_stalled_process_catches_up_without_a_wave() -> None:
    result = simulate(
        limits(requests_per_minute=3000),
        SlidingWindow(latency=0.1),
        seconds=60,
        stalls=((10.0, 0.4), (20.0, 0.4), (30.0, 0.4)),
    )
    assert result.refused == 0
    assert result.used(3000, end=60) >= 0.99


def test_after_a_refusal_one_may_leave_at_once_and_no_burst() -> None:
    bucket = Bucket(6000, 0.0)
    assert bucket.ready_at(10.0, 20) == 10.0
    bucket.cut(10.0, 0.0)
    assert bucket.ready_at(10.0, 1) == 10.0
    bucket.take(10.0, 1)
    assert bucket.ready_at(10.0, 1) > 10.0


def test_a_paused_or_parked_key_has_no_room() -> None:
    key = KeyLimits(0.0, concurrency=4)
    assert key.free(0.0) == 4
    key.failed(key.take(0.0, 1), 0.0, retry_after=7.0)
    assert (key.free(1.0), key.free(7.5)) == (0, 4)
    key.park("refused")
    assert key.free(7.5) == 0


def test_a_request_that_leaves_late_counts_when_it_leaves() -> None:
    key = KeyLimits(0.0, requests_per_minute=60, concurrency=1000)
    now, taken = 0.0, []
    while len(taken) < 60:
        now = max(now, key.ready_at(now, 1))
        taken.append(key.take(now, 1))
    key.departed(taken[0], 58.0)  # its attempt had to be written down first
    late = 0
    while (at := max(now, key.ready_at(now, 1))) < 58.0 + 60.0:
        now = at
        key.take(now, 1)
        late += now > 60.2
    assert late <= 59  # with the one that left at 58: sixty in its minute


def asked_in_a_minute(end: Callable[[KeyLimits, Reservation, float, int], float]) -> int:
    """Requests of a key one after another; `end` ends each, and says when."""
    key = KeyLimits(0.0)
    now, asked = 0.0, 0
    while now < 60.0:
        now = max(now, key.ready_at(now, 50))
        now = end(key, key.take(now, 50), now, asked)
        asked += 1
    return asked


def test_what_is_refused_again_and_again_waits_longer_each_time_however_late_it_leaves() -> None:
    def refused_late(key: KeyLimits, one: Reservation, now: float, asked: int) -> float:
        key.departed(one, now + 0.05)  # it is written down
        key.limited(one, now + 0.1, None)
        return now + 0.1

    assert asked_in_a_minute(refused_late) < 20


def test_refusals_wait_longer_each_time_though_what_comes_between_fails_otherwise() -> None:
    def by_turns(key: KeyLimits, one: Reservation, now: float, asked: int) -> float:
        if asked % 2:
            key.limited(one, now + 0.1, None)
        else:
            key.failed(one, now + 0.1)
        return now + 0.1

    assert asked_in_a_minute(by_turns) < 40


def test_refusals_wait_longer_each_time_though_they_come_in_another_order() -> None:
    key, rng = KeyLimits(0.0, concurrency=16), random.Random(1)
    now, asked = 0.0, 0
    out: list[tuple[float, Reservation]] = []  # when each is refused
    while now < 60.0:
        ready = key.ready_at(now, 50)
        if out and out[0][0] <= max(now, ready):
            at, one = out.pop(0)
            now = max(now, at)
            key.limited(one, now, None)
            continue
        now = max(now, ready) + 0.005  # they leave one after another
        out.append((now + rng.uniform(0.02, 0.12), key.take(now, 50)))
        out.sort(key=lambda each: each[0])
        asked += 1
    assert asked < 150


def test_tokens_are_reserved_settled_and_given_back() -> None:
    key = KeyLimits(0.0, tokens_per_minute=60_000)
    first = key.take(0.0, 400)
    assert round(key.rates.tokens.used(0.0)) == 400
    key.succeeded(first, 0.1, 150)
    assert round(key.rates.tokens.used(0.2)) == 150
    second = key.take(0.5, 400)
    key.failed(second, 0.6)
    assert round(key.rates.tokens.used(0.7)) == 150
    third = key.take(1.0, 400)
    key.released(third)
    assert (round(key.rates.tokens.used(1.0)), round(key.rates.requests.used(1.0)), key.in_flight) == (
        150,
        2,
        0,
    )
    assert round(key.rates.tokens.used(70.0)) == 0


@pytest.mark.parametrize("tokens", [None, 1.0])
def test_what_is_refused_for_no_rate_of_requests_keeps_its_place_in_the_pace(tokens: float | None) -> None:
    """Whether it alone is refused, for the number in flight, or for tokens: with answers in between, pauses stay short."""
    key = KeyLimits(0.0, requests_per_minute=60)
    asked, now = 0, 0.0
    while now < 60:
        one = key.take(now, 400)
        if asked % 3 == 0:
            key.succeeded(one, now + 0.05, 400)
        elif asked % 3 == 1:
            key.refused_alone(one)
        else:
            key.limited(one, now + 0.05, tokens, None, "tokens" if tokens else None)
        asked += 1
        now = max(now + 0.1, key.ready_at(now + 0.1, 400))
    assert 30 < asked <= 60 + 1
    assert (key.rates.tokens.used(now), key.in_flight) == (400 * key.rates.requests.used(now), 0)


def test_a_try_above_the_known_number_keeps_its_place_in_the_pace() -> None:
    key = KeyLimits(0.0, requests_per_minute=60, concurrency=8)
    key.concurrency.teach((3, 3))
    one = [key.take(10.0, 1) for _ in range(4)][3]
    before = key.rates.requests.ready_at(10.1, 1)
    key.limited(one, 10.1, None)
    assert key.pause_left(10.1) == 0 and key.rates.requests.ready_at(10.1, 1) == pytest.approx(before)


def test_more_tokens_than_a_minute_holds_wait_and_then_go() -> None:
    key = KeyLimits(0.0, tokens_per_minute=1000)
    at = key.ready_at(0.0, 5000)
    assert 0 < at < 60
    key.take(at, 5000)
    assert key.ready_at(at, 10) > at + 60


def test_tokens_a_minute_bind() -> None:
    result = simulate(
        limits(requests_per_minute=6000, tokens_per_minute=300_000),
        Server(latency=0.1),
        seconds=60,
        tokens=200,
    )
    assert result.used(1500, end=60) == pytest.approx(1.0, abs=0.02)


def test_the_cap_closes_until_something_ends() -> None:
    key = KeyLimits(0.0, concurrency=2)
    first, _ = key.take(0.0, 1), key.take(0.0, 1)
    assert key.ready_at(0.0, 1) == math.inf
    assert key.binds(0.0) == "concurrency"
    key.succeeded(first, 0.1, 1)
    assert key.ready_at(0.1, 1) <= 0.1
    assert key.binds(0.1) == ""


def test_parked_is_closed_until_unparked() -> None:
    key = KeyLimits(0.0)
    key.park("the API key was rejected (401)")
    assert key.ready_at(0.0, 1) == math.inf
    assert key.binds(0.0) == "parked"
    key.unpark(5.0)
    assert key.ready_at(5.0, 1) <= 5.0


def test_transient_errors_do_not_touch_the_cap_or_the_rate() -> None:
    key = KeyLimits(0.0, requests_per_minute=600, concurrency=32)
    for step in range(20):
        key.failed(key.take(step / 10, 10), step / 10 + 0.05)
    assert key.cap == 32
    assert key.rates.requests.rate == 10
    key.failed(key.take(3.0, 10), 3.0, retry_after=7.0)
    assert key.ready_at(3.1, 10) == 10.0


def test_headers_lower_a_configured_limit_and_never_raise_it() -> None:
    key = KeyLimits(0.0, requests_per_minute=6000)
    key.succeeded(key.take(0.0, 1), 0.1, 1, RateHeaders(requests_limit=3000, requests_remaining=2999))
    assert key.rates.requests.rate == 50
    key.succeeded(key.take(0.2, 1), 0.3, 1, RateHeaders(requests_limit=90_000, requests_remaining=9999))
    assert key.rates.requests.rate == 50


def test_a_request_that_leaves_late_counts_once_and_from_then_on() -> None:
    key = KeyLimits(0.0, requests_per_minute=600, tokens_per_minute=6000)
    reservation = key.take(0.0, 10)
    key.departed(reservation, 30.0)
    assert (key.rates.requests.used(30.0), key.rates.tokens.used(30.0)) == (1, 10)
    assert key.rates.requests.used(80.0) == 1, "a minute from when it left"


def test_no_more_leaves_at_once_than_headers_say_is_left() -> None:
    key = KeyLimits(0.0, requests_per_minute=6000)
    headers = RateHeaders(requests_limit=6000, requests_remaining=2)
    key.succeeded(key.take(0.0, 1), 0.1, 1, headers)
    for _ in range(2):
        assert key.ready_at(0.1, 1) <= 0.1
        key.take(0.1, 1)
    assert key.ready_at(0.1, 1) > 0.1


def test_headers_that_show_nothing_left_are_kept() -> None:
    stated = KeyLimits(0.0)
    headers = RateHeaders(requests_limit=60, requests_remaining=0, requests_reset_s=40.0)
    stated.succeeded(stated.take(0.0, 1), 1.0, 1, headers)
    assert stated.ready_at(1.0, 1) == pytest.approx(2.0), "one a second becomes free, long before all of it"
    silent = KeyLimits(0.0)
    silent.succeeded(silent.take(0.0, 1), 1.0, 1, RateHeaders(requests_remaining=0, requests_reset_s=4.0))
    assert silent.ready_at(1.0, 1) == pytest.approx(5.0)
    assert silent.binds(1.0) == "pause"
    assert silent.pause_left(2.0) == pytest.approx(3.0)


def test_a_retry_after_of_nothing_is_no_invitation_to_hammer() -> None:
    result = simulate(limits(), ClosedUntil(latency=0.05, until=1030.0, retry_after=0.0), requests=50)
    assert result.refused < 120


def test_a_day_of_refusals_and_a_day_of_rest_break_nothing() -> None:
    key = KeyLimits(0.0, requests_per_minute=6000)
    now = 0.0
    for _ in range(3000):
        now = max(now, key.ready_at(now, 10))
        key.limited(key.take(now, 10), now + 0.01, None, scope="requests")
        now += 0.01
    assert key.ready_at(now, 10) - now <= 31
    now += 86_400
    key.succeeded(key.take(now, 10), now + 0.1, 10)
    for step in range(1000):
        key.ready_at(now + step / 10, 10)
        key.take(now + step / 10, 10)
    assert key.rates.requests.rate <= 100


outcomes = st.sampled_from(
    ["ok", "stored", "limited", "told", "daily", "failed", "released", "headers", "grant", "park", "unpark"]
    + ["sleep", "day"]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(outcomes, max_size=200), st.sampled_from([None, 1, 600]), st.sampled_from([None, 1, 40]))
def test_whatever_happens_the_state_stays_sane(happens, rate, concurrency) -> None:
    key = KeyLimits(0.0, requests_per_minute=rate, tokens_per_minute=rate, concurrency=concurrency)
    now, flying = 0.0, []
    for what in happens:
        now += {"sleep": 1.0, "day": 86_400.0}.get(what, 0.01)
        at = key.ready_at(now, 50)
        assert at == at
        if at < now + 60:
            now = max(now, at)
            flying.append(key.take(now, 50))
        if what == "park":
            key.park("billing")
        elif what == "unpark":
            key.unpark(now)
        elif what == "grant":
            key.grant(now, {"requests": now % 3, "output": 1.0, "concurrency": 1.0 + now % 2}, now + 0.1, 1)
        elif flying and what not in ("sleep", "day"):
            one = flying.pop(0)
            if what == "ok":
                key.succeeded(one, now, 40)
            elif what == "stored":
                key.received(one, now)
                assert key.in_flight == len(flying) + 1
                key.succeeded(one, now + 0.01, 40, None, 20)
            elif what == "daily":
                key.limited(one, now, None, scope="requests", daily=True)
            elif what == "headers":
                key.succeeded(
                    one, now, 40, RateHeaders(requests_limit=30, requests_remaining=0, tokens_limit=0)
                )
            elif what == "failed":
                key.failed(one, now, used_tokens=None)
            elif what == "released":
                key.released(one)
            else:
                key.limited(one, now, 2.0 if what == "told" else None)
        assert key.in_flight == len(flying)
        assert 1 <= key.cap <= key.concurrency.maximum
        assert key.free(now) >= 0
    key.unpark(now)
    key.grant(now, {})
    for one in flying:
        key.succeeded(one, now, None)
    assert key.ready_at(now, 50) < now + 86_400 * 2, "it always goes on"


def test_a_refused_burst_gives_back_no_more_than_the_share() -> None:
    key = KeyLimits(0.0)
    key.limited(key.take(0.01, 50), 0.01, None)
    other = key.take(0.02, 50)
    key.grant(0.02, {"concurrency": 1.0}, 0.0, 1)  # another daemon came
    key.limited(other, 0.12, None)  # of the same burst, all of which was refused
    assert key.cap == 1


def test_a_refusal_for_tokens_lowers_tokens_alone() -> None:
    key = KeyLimits(0.0, requests_per_minute=600, tokens_per_minute=60_000)
    for step in range(100):
        key.succeeded(key.take(step / 10, 100), step / 10, 100)
    key.limited(key.take(10.0, 100), 10.0, 2.0, scope="tokens")
    assert key.rates.requests.rate == 10
    assert key.rates.tokens.rate < 1000
    assert key.ready_at(10.1, 100) >= 12.0


def test_a_burst_of_refusals_counts_once() -> None:
    key = KeyLimits(0.0, requests_per_minute=6000)
    for step in range(400):
        key.succeeded(key.take(step / 100, 1), step / 100, 1)
    burst = [key.take(4.0, 1) for _ in range(12)]
    rates = set()
    for number, reservation in enumerate(burst):
        key.limited(reservation, 4.01 + number / 1000, 1.0)
        rates.add(key.rates.requests.rate)
    assert len(rates) == 1


def test_no_minute_ever_holds_more_than_the_limit() -> None:
    result = simulate(
        limits(requests_per_minute=600),
        Server(latency=0.1),
        seconds=200,
        stalls=((30.0, 3.0), (61.0, 0.6), (90.0, 9.0)),
    )
    sends = result.sends
    assert len(sends) > 1700
    assert all(late - early > 60 for early, late in zip(sends, sends[600:], strict=False))


def test_prompt_and_completion_tokens_are_reserved_settled_and_given_back_apart() -> None:
    key = KeyLimits(0.0, input_tokens_per_minute=60_000, output_tokens_per_minute=6_000)
    first = key.take(0.0, 400, 100)
    assert [round(each.used(0.0)) for each in (key.rates.input, key.rates.output, key.rates.tokens)] == [
        300,
        100,
        400,
    ]
    key.succeeded(first, 0.1, 250, None, 20)
    assert [round(each.used(0.2)) for each in (key.rates.input, key.rates.output, key.rates.tokens)] == [
        230,
        20,
        250,
    ]
    key.failed(key.take(0.5, 400, 100), 0.6)
    key.released(key.take(0.5, 400, 100))
    key.limited(key.take(0.6, 400, 100), 0.7, 0.0, scope="concurrency")
    assert [round(each.used(0.8)) for each in (key.rates.input, key.rates.output, key.rates.tokens)] == [
        230,
        20,
        250,
    ]


@pytest.mark.parametrize(
    ("given", "tokens", "output", "binds"),
    [
        ({"input_tokens_per_minute": 60_000}, 5_000, 100, "input tokens/min"),
        ({"output_tokens_per_minute": 60_000}, 5_000, 4_900, "output tokens/min"),
        ({"tokens_per_minute": 60_000}, 5_000, 4_900, "tokens/min"),
    ],
)
def test_each_kind_of_tokens_holds_back_by_itself(given, tokens, output, binds) -> None:
    key = KeyLimits(0.0, **given)
    assert key.ready_at(0.0, 10, 5) <= 0.0
    key.take(0.0, tokens, output)
    assert key.ready_at(0.0, tokens, output) > 1.0
    assert key.binds(0.0, tokens, output) == binds


@pytest.mark.parametrize("kind", ["input", "output"])
@pytest.mark.parametrize("given", [150_000, 300_000, None])
def test_a_limit_of_one_kind_of_tokens_is_used_and_found_out(kind, given) -> None:
    """200 tokens of the kind a request, 150,000 a minute: 12.5 requests a second."""
    result = simulate(
        limits(**{f"{kind}_tokens_per_minute": given}),
        TokenBucket(latency=0.2, jitter=0.3, limit=750, burst=25.0, scope=kind),
        seconds=120,
        tokens=300,
        output=100 if kind == "input" else 200,
    )
    right = given == 150_000
    assert result.used(750, start=5, end=120) >= (0.99 if right else 0.93)
    assert result.refused <= (5 if right else 60)


@pytest.mark.parametrize("scope", ["requests", "tokens", "input", "output"])
def test_a_refusal_that_names_a_limit_cuts_that_one_alone(scope) -> None:
    key = KeyLimits(0.0, requests_per_minute=600, tokens_per_minute=60_000, input_tokens_per_minute=60_000,
                    output_tokens_per_minute=60_000)  # fmt: skip
    before = {name: key.rates.bucket(name).rate for name in RATES}
    for step in range(100):
        key.succeeded(key.take(step / 10, 100, 50), step / 10, 100, None, 50)
    key.limited(key.take(10.0, 100, 50), 10.0, 2.0, scope=scope)
    assert [name for name in RATES if key.rates.bucket(name).rate != before[name]] == [scope]
    assert key.ready_at(10.1, 100, 50) >= 12.0


def test_headers_that_show_one_kind_used_up_cut_that_kind() -> None:
    key = KeyLimits(0.0, input_tokens_per_minute=60_000, output_tokens_per_minute=60_000)
    for step in range(100):
        key.succeeded(key.take(step / 10, 100, 50), step / 10, 100, None, 50)
    headers = RateHeaders(output_remaining=0, output_reset_s=3.0, input_remaining=5000)
    key.limited(key.take(10.0, 100, 50), 10.0, None, headers, "tokens")
    assert key.rates.input.rate == 1000
    assert key.rates.output.rate < 1000
    assert key.rates.tokens.rate is None
    other = KeyLimits(0.0, input_tokens_per_minute=60_000, output_tokens_per_minute=60_000)
    other.succeeded(other.take(0.0, 100, 50), 0.1, 100, None, 50)
    other.limited(other.take(1.0, 100, 50), 1.0, None, headers, "input")
    assert other.rates.input.rate < 1000, "words that name one kind are believed before headers"
    assert other.rates.output.rate == 1000
    stated = KeyLimits(0.0)
    stated.succeeded(stated.take(0.0, 10, 5), 0.1, 10, RateHeaders(input_limit=600, input_remaining=0))
    assert stated.rates.input.rate == 10
    assert stated.binds(0.1, 100, 50) == "input tokens/min"


def test_a_limit_a_day_is_waited_out_and_teaches_no_rate() -> None:
    key = KeyLimits(0.0, requests_per_minute=600)
    burst = [key.take(0.0, 10) for _ in range(5)]
    for one in burst:
        key.limited(one, 0.1, 25_920.0, scope="requests", daily=True)
    assert key.rates.requests.rate == 10
    assert key.ready_at(0.2, 10) == pytest.approx(25_920.1)
    assert key.binds(0.2) == "limit a day"
    assert key.pause_left(0.2) == pytest.approx(25_919.9)
    assert key.ready_at(25_921.0, 10) <= 25_921.0
    untold = KeyLimits(0.0)
    untold.limited(untold.take(0.0, 10), 0.0, None, scope="requests", daily=True)
    assert untold.ready_at(1.0, 10) == 900.0
    short = KeyLimits(0.0)
    short.succeeded(short.take(0.0, 10), 0.1, 10)
    short.limited(short.take(1.0, 10), 1.0, 6.0, scope="requests", daily=True)
    assert short.ready_at(1.1, 10) == pytest.approx(7.0), "a little of it becomes free all the time: paced"
    assert short.rates.requests.rate is not None


def test_an_answer_that_is_being_stored_leaves_the_server_room_but_not_without_end() -> None:
    key = KeyLimits(0.0)
    flying = [key.take(0.0, 1) for _ in range(8)]
    assert key.ready_at(1.0, 1) == math.inf
    for one in flying[:4]:
        key.received(one, 1.0)
    assert (key.out, key.in_flight) == (4, 8)
    now = 1.0
    while key.ready_at(now := now + 1.0, 1) <= now:
        flying.append(key.take(now, 1))
        assert len(flying) < 1000, "the disk is slow: no more is sent"
        if key.out == key.cap:
            key.received(flying[-1], now)
    assert key.in_flight <= 1.25 * key.cap + 1
    assert key.binds(now) == "storing"
    for one in flying:
        key.succeeded(one, now, 1)
    assert (key.out, key.in_flight) == (0, 0)
    assert key.ready_at(now, 1) <= now
    few = KeyLimits(0.0, concurrency=2)
    first, _ = few.take(0.0, 1), few.take(0.0, 1)
    few.received(first, 1.0)
    assert few.ready_at(1.0, 1) == math.inf, (
        "a configured number holds for slots: what may be lost in a crash"
    )


def test_what_is_granted_bounds_a_limit_and_what_was_learned_stays() -> None:
    key = KeyLimits(0.0, requests_per_minute=600, concurrency=40)
    key.grant(0.0, {"requests": 4.0, "concurrency": 10.0}, 0.0, 1)
    assert (key.rates.requests.rate, key.cap, key.others) == (4.0, 10, 1)
    key.grant(1.0, {"requests": 0.0, "concurrency": 0.0}, 0.0, 1)
    assert key.cap == 0
    assert key.ready_at(1.0, 1) == math.inf
    key.grant(2.0, {}, 0.0, 0)
    assert (key.rates.requests.rate, key.cap) == (10.0, 40)
    key.rates.requests.cut(60.0, 1.0)
    learned = key.rates.requests.rate
    assert learned < 10
    key.grant(61.0, {"requests": 0.1}, 0.0, 1)
    assert key.rates.requests.rate == 0.1
    key.grant(62.0, {}, 0.0, 0)
    assert key.rates.requests.rate == learned


def test_a_smaller_part_does_not_stop_one_that_used_all_of_the_last_minute() -> None:
    key = KeyLimits(0.0, requests_per_minute=600)
    for step in range(600):
        key.succeeded(key.take(step / 10, 1), step / 10, 1)
    key.grant(60.0, {"requests": 4.95}, 0.0, 1)
    assert key.ready_at(60.0, 1) < 61.0


def test_a_pause_of_others_is_kept_and_may_be_cut_short_by_them() -> None:
    key = KeyLimits(0.0, requests_per_minute=600)
    key.grant(0.0, {}, 30.0, 1)
    assert key.binds(1.0) == "pause"
    assert key.ready_at(1.0, 1) == 30.0
    assert key.pause_until < 1.0, "it is not told on as one's own"
    key.grant(2.0, {}, 5.0, 1)
    assert key.ready_at(3.0, 1) == 5.0
