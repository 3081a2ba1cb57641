"""What a forked child has to start over: threads, locks and connections that only its parent has."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def after_fork(reset: Callable[[], object]) -> None:
    """Call back in every child that is forked from this process; never where nothing is forked (Windows)."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset)
