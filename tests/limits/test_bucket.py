"""Token buckets as points in time; the numbers are by hand."""

import pytest

from latent.limits.bucket import Bucket, at_new_rate, book, request_bucket, token_bucket


def starts(bucket: Bucket, amounts: list[float], now: float = 100.0, full_at: float = 100.0) -> list[float]:
    """When calls that all come at `now` may begin, after `now`."""
    begun = []
    for amount in amounts:
        start, (full_at,) = book(now, [(full_at, amount, bucket)])
        begun.append(round(start - now, 9))
    return begun


def test_full_bucket_lets_its_capacity_through_at_once_and_the_rest_at_its_rate():
    assert starts(Bucket(10, 3), [1] * 6) == [0, 0, 0, 0.1, 0.2, 0.3]


def test_bucket_of_one_spaces_calls_evenly():
    assert starts(Bucket(4, 1), [1] * 4) == [0, 0.25, 0.5, 0.75]


def test_bucket_is_no_fuller_than_full_after_a_pause():
    assert starts(Bucket(10, 3), [1] * 4, now=1_000.0, full_at=100.0) == [0, 0, 0, 0.1]


def test_call_that_begins_late_does_not_put_off_the_ones_after_it_within_the_capacity():
    """Two calls at 10 a second, the second asked for 50 ms late: the third comes when it would have."""
    bucket = Bucket(10, 2)
    _, (full_at,) = book(0.0, [(0.0, 2, bucket)])
    start, (full_at,) = book(0.15, [(full_at, 1, bucket)])
    assert start == pytest.approx(0.15)
    assert book(0.15, [(full_at, 1, bucket)])[0] == pytest.approx(0.2)


def test_call_larger_than_the_bucket_is_admitted_when_it_is_full_and_leaves_a_debt():
    """100 a second, 50 at most: 200 begin at once, and leave a debt of 150 that is paid after 1.5 s."""
    assert starts(Bucket(100, 50), [200, 1, 50]) == [0, 1.51, 2.01]


def test_call_waits_for_the_bucket_that_has_least():
    requests, tokens = Bucket(10, 1), Bucket(100, 100)
    start, full_at = book(0.0, [(0.0, 1, requests), (0.0, 100, tokens)])
    assert (start, full_at) == (0.0, (0.1, 1.0))
    start, full_at = book(0.0, [(full_at[0], 1, requests), (full_at[1], 100, tokens)])
    assert (start, full_at) == (1.0, (1.1, 2.0)), "the tokens decide, and the request counts from then on"


@pytest.mark.parametrize(
    ("full_at", "old", "new", "expected"),
    [
        (340.0, 1 / 120, 50.0, 100.04),  # two calls are missing: at 50 a second they are there after 0.04 s
        (100.04, 50.0, 1 / 120, 340.0),  # and the other way round
        (99.0, 50.0, 1.0, 99.0),  # nothing is missing
        (105.0, None, 50.0, 105.0),  # no rate held before
    ],
)
def test_what_is_missing_is_the_same_at_another_rate(full_at, old, new, expected):
    assert at_new_rate(full_at, 100.0, old, new) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("per_second", "burst", "capacity"),
    [
        (50, 10, 5),  # half of what the provider takes at once
        (50, 1, 1),
        (50, None, 5),  # a tenth of a second's worth
        (0.05, None, 1),  # but never less than one call
    ],
)
def test_half_of_the_burst_is_used(per_second, burst, capacity):
    assert request_bucket(per_second, burst).capacity == capacity


def test_tokens_may_burst_for_as_long_as_requests():
    assert token_bucket(1_000, request_bucket(50, 10)).capacity == 100
    assert token_bucket(1_000, None).capacity == 100
