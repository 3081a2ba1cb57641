"""Fair shares; the numbers are by hand."""

import pytest

from latent.limits.allocation import Claim, fair_shares


def shares(slots: int, *wanted: int, ranks: tuple[float, ...] = ()) -> list[int]:
    claims = [
        Claim(member, want, ranks[member] if ranks else float(member)) for member, want in enumerate(wanted)
    ]
    found = fair_shares(slots, claims)
    return [found[member] for member in range(len(wanted))]


@pytest.mark.parametrize(
    ("slots", "wanted", "expected"),
    [
        (20, (50,), [20]),
        (20, (5,), [5]),
        (20, (50, 50, 50, 50), [5, 5, 5, 5]),
        (20, (2, 50, 50), [2, 9, 9]),  # what one leaves goes evenly to the others
        (20, (0, 50), [0, 20]),
        (20, (3, 4, 5), [3, 4, 5]),
        (20, (50, 50, 50), [7, 7, 6]),  # what is left over goes by rank
        (2, (9, 9, 9), [1, 1, 0]),
        (10, (5, 5, 5), [4, 3, 3]),
        (3, (1, 9, 9), [1, 1, 1]),
        (0, (4, 4), [0, 0]),
    ],
)
def test_nobody_gets_more_than_he_wants_and_the_rest_is_even(slots, wanted, expected):
    assert shares(slots, *wanted) == expected


def test_slot_that_cannot_be_shared_goes_to_the_lowest_rank():
    assert shares(1, 9, 9, 9, ranks=(3.0, 1.0, 2.0)) == [0, 1, 0]
    assert shares(4, 9, 9, 9, ranks=(float("inf"), 5.0, float("-inf"))) == [1, 1, 2]
