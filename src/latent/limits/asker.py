"""Who asks for permits in a context: each run gets its fair share of a limit."""

from __future__ import annotations

from contextvars import ContextVar

asking_run: ContextVar[str] = ContextVar("latent_asking_run", default="")
"""The id of the run that the calling code belongs to; whoever is in none shares one share."""
