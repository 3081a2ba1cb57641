"""Which ids a stream has seen before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from latent.prefect.rows.ids import KnownIds


@given(st.lists(st.sets(st.text(max_size=2), min_size=1, max_size=40), max_size=12))
def test_an_id_is_known_as_soon_as_an_earlier_part_had_it(parts):
    known, rows, first = KnownIds(), {}, 0
    for part in map(sorted, parts):
        twice = {name for name in part if name in rows}
        found = known.add(part, first)
        assert (found is None) == (not twice)
        if found is not None:
            earlier, later = found
            assert rows[part[later - first]] == earlier
            return
        rows |= {name: first + place for place, name in enumerate(part)}
        first += len(part)
