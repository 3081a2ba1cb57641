"""What is learned from answers: by single steps, and in the simulated scenarios that the docs promise."""

import pytest

from latent.limits.controller import (
    START_PER_SECOND,
    Answers,
    Learned,
    Overload,
    Refusal,
    Statement,
    allowed_rate,
    begin,
    learn,
    note_sent,
    refused_lately,
    resume,
)
from tests.limits.simulation import Outcome, Provider, simulate

OPEN = begin(is_open=True)
SETTLED = Learned(rate=40.0, ceiling=50.0, lowered_at=100.0, raised_at=100.0, answer_seconds=0.3, proven=30)


def test_limit_without_numbers_starts_slowly_and_others_as_configured():
    assert allowed_rate(OPEN, None) == START_PER_SECOND
    assert allowed_rate(begin(is_open=False), 50.0) == 50.0
    assert allowed_rate(begin(is_open=False), None) is None


def test_refusals_of_one_burst_lower_the_rate_once():
    first = learn(SETTLED, [Refusal(110.0, 45.0, 20)], 111.0, None)
    assert first.rate is not None
    assert first.rate < 40.0
    again = learn(first, [Refusal(sent_at, 45.0, 20) for sent_at in (110.1, 110.5, 111.0)], 111.2, None)
    assert again.rate == first.rate
    later = learn(again, [Refusal(111.3, first.rate, 20)], 111.4, None)
    assert later.rate is not None
    assert later.rate < first.rate, "what was sent after the decrease is news"


def test_refusals_are_counted_for_a_minute():
    learned = learn(SETTLED, [Refusal(110.0, 45.0, 20)] * 3, 111.0, None)
    learned = learn(learned, [Refusal(140.0, 45.0, 20)], 141.0, None)
    assert [refused_lately(learned, now) for now in (142.0, 165.0, 175.0, 205.0)] == [4, 4, 1, 0]


def test_overload_lowers_the_rate_less_than_a_refusal():
    refused = learn(SETTLED, [Refusal(110.0, 40.0, 20)], 111.0, None).rate
    overloaded = learn(SETTLED, [Overload(110.0)], 111.0, None)
    assert overloaded.rate is not None
    assert refused is not None
    assert refused < overloaded.rate < 40.0
    assert refused_lately(overloaded, 111.0) == 0


def test_success_raises_the_rate_only_when_calls_waited_for_it():
    waited = learn(SETTLED, [Answers(10, 0.3, 5, were_held_back=True)], 100.5, None)
    idle = learn(SETTLED, [Answers(10, 0.3, 5, were_held_back=False)], 100.5, None)
    assert waited.rate is not None
    assert waited.rate > 40.0
    assert idle.rate == 40.0


def test_slow_start_goes_by_answers_so_that_a_slow_provider_is_not_overrun():
    unanswered = learn(OPEN, [], 60.0, None)
    assert unanswered.rate == START_PER_SECOND
    assert allowed_rate(learn(OPEN, [Answers(10, 0.3, 3, True)], 1.0, None), None) > START_PER_SECOND


def test_nothing_is_ever_above_what_is_configured():
    learned = Learned(rate=45.0, ceiling=50.0, raised_at=0.0, lowered_at=0.0)
    for second in range(1, 200):
        learned = learn(learned, [Answers(50, 0.3, 5, True)], float(second), 50.0)
        assert allowed_rate(learned, 50.0) <= 50.0
    assert learned.rate is None, "back at what is configured, nothing holds it back any more"


def test_headers_end_the_search():
    learned = learn(OPEN, [Statement(50.0, 1_000.0)], 1.0, None)
    assert allowed_rate(learned, None) == 50.0
    assert allowed_rate(learned, 20.0) == 20.0, "what is configured stays above it"
    assert learned.stated_tokens == 1_000.0


def refused_each_second(learned: Learned, refused: int, seconds: int) -> Learned:
    """50 calls each second under a configured 50, of which so many, sent one after the other, are refused."""
    for second in range(seconds):
        learned = note_sent(learned, 50, float(second))
        for each in range(refused):
            at = second + (each + 1) / 100
            learned = learn(learned, [Refusal(at, allowed_rate(learned, 50.0), 5)], at, 50.0)
    return learned


def test_few_refusals_at_a_known_limit_are_jitter_and_teach_no_lower_one():
    """One of 50 each second: the rate goes down to 85 % of the limit and no further."""
    learned = refused_each_second(Learned(proven=10), refused=1, seconds=30)
    assert learned.rate == pytest.approx(0.85 * 50)
    assert learned.ceiling == 50.0
    # A fiftieth, as the last hundred calls show it.
    assert learned.refused_share == pytest.approx(0.02, abs=0.01)


def test_many_refusals_at_a_known_limit_show_that_the_provider_allows_less():
    learned = refused_each_second(Learned(proven=10), refused=10, seconds=3)
    assert learned.refused_share > 0.06
    assert learned.rate is not None and learned.ceiling is not None
    assert learned.rate < 0.85 * 50
    assert learned.ceiling < 0.85 * 50


def test_more_in_flight_than_ever_was_taken_is_blamed_on_their_number():
    learned = learn(Learned(), [Answers(8, 0.3, 8, False)], 1.0, None)
    learned = learn(learned, [Refusal(1.5, None, 9)], 1.6, None)
    assert (learned.window, learned.rate) == (8, None)
    learned = learn(learned, [Refusal(2.0, None, 8)], 2.1, None)
    assert learned.window is None, "as many were taken before: it is the rate"
    assert learned.rate is not None


def test_rate_where_none_is_configured_is_what_was_sent_lately():
    learned = Learned(proven=50)
    for tenth in range(20):
        learned = note_sent(learned, 4, 100.0 + tenth / 10)
    learned = learn(learned, [Refusal(101.9, None, 10)], 102.0, None)
    assert learned.ceiling == pytest.approx(40.0, rel=0.1)


def test_what_was_learned_fades_with_each_day():
    learned = Learned(rate=40.0, ceiling=50.0, window=8, proven=8, lowered_at=99.0, refused=((9, 3),))
    soon = resume(learned, 600, is_open=True)
    assert (round(soon.rate or 0), soon.ceiling, soon.window) == (40, 50.0, 8)
    day_later = resume(learned, 86_400, is_open=True)
    assert (day_later.rate, day_later.window, day_later.lowered_at < 0) == (20.0, None, True)
    assert resume(learned, 86_400 * 30, is_open=True).rate == START_PER_SECOND
    assert resume(learned, -50, is_open=True).rate == 40.0, "a wall clock that jumped back"


def of_ideal(outcome: Outcome) -> float:
    return outcome.of_ideal(1500, 50, 10, 0.3)


SEEDS = pytest.mark.parametrize("seed", range(5))
"""The provider takes 50 requests a second and 10 at once, and answers after about 0.3 s; 1,500 rows."""


@SEEDS
def test_configured_limit_is_used_to_98_percent_without_refusals(seed):
    outcome = simulate(Provider(), configured=50.0, burst=10, seed=seed)
    assert of_ideal(outcome) >= 0.98
    assert outcome.refused_share <= 0.005


@SEEDS
def test_limit_learned_from_headers_is_used_to_95_percent(seed):
    outcome = simulate(Provider(), states_limit=True, seed=seed)
    assert of_ideal(outcome) >= 0.95
    assert outcome.refused_share <= 0.02


@SEEDS
def test_limit_learned_from_refusals_alone_is_used_to_88_percent(seed):
    outcome = simulate(Provider(), seed=seed)
    assert of_ideal(outcome) >= 0.88
    assert outcome.refused_share <= 0.04


@pytest.mark.parametrize("states_limit", [True, False])
def test_client_that_stands_still_now_and_then_loses_little_more_than_that_time(states_limit):
    outcome = simulate(Provider(), states_limit=states_limit, stall_seconds=0.2)
    assert of_ideal(outcome) >= 0.88
    assert outcome.refused_share <= 0.04


def test_many_in_flight_are_not_blamed_for_long_when_it_was_the_rate():
    """A bound on their number that was found by mistake is widened within a few answers."""
    learned = Learned(window=4, proven=4, crowded=1, answer_seconds=0.3)
    for tenth in range(1, 100):
        learned = learn(learned, [Answers(3, 0.3, learned.window, False)], tenth / 10, 50.0)
    assert learned.window >= 15


def test_limit_configured_too_high_costs_few_refusals():
    outcome = simulate(Provider(), configured=100.0)
    assert of_ideal(outcome) >= 0.9
    assert outcome.refused_share <= 0.04


def test_limit_that_is_halved_midway_is_followed():
    outcome = simulate(Provider(), changes=((10.0, 25.0),))
    assert outcome.seconds <= 1.15 * (10 + 1000 / 25)
    assert outcome.refused_share <= 0.04


def test_limit_that_is_raised_is_found_again():
    outcome = simulate(Provider(rate=10.0), changes=((10.0, 50.0),))
    assert outcome.learned.rate is None or outcome.learned.rate > 40.0


def test_bound_on_calls_in_flight_is_found_without_headers():
    """8 at a time, 0.33 s each: 24 a second."""
    outcome = simulate(Provider(rate=1e6, burst=1e6, concurrency=8))
    assert outcome.seconds <= 1.7 * 1500 / 24
    assert outcome.refused_share <= 0.04
