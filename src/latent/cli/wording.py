"""Numbers, times and counts as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime


def duration(seconds: float) -> str:
    """A time span: `4 ms`, `1.3 s`, `2 min 5 s`, `3 h 12 min`."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(count: int) -> str:
    """A number of bytes: `812 B`, `3.4 kB`, `1.2 GB`; a kB is 1,000 bytes."""
    amount, units = float(count), ["kB", "MB", "GB", "TB"]
    if count < 1000:
        return f"{count} B"
    while amount >= 999.95 and units:
        amount, unit = amount / 1000, units.pop(0)
    return f"{amount:.1f} {unit}"


def money(dollars: float) -> str:
    """An amount of US dollars; small ones to a hundredth of a cent: `$12.50`, `$0.0031`."""
    return f"${dollars:,.2f}" if dollars >= 1 or dollars == 0 else f"${dollars:,.4f}"


def moment(seconds: float) -> str:
    """A time since the epoch, in this machine's time zone, to the second."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")


def outcomes(counts: Mapping[str, int]) -> str:
    """Counts by outcome, the most frequent first: `12 ok, 3 cached`."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} {outcome}" for outcome, count in ordered if count)


def several(count: int, one: str, many: str | None = None) -> str:
    """`1 entry`, `1,200 entries`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
