"""A task that Prefect's process pool can find again in its children."""

from __future__ import annotations

import os

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.settings import get_current_settings


@task
def report_from_child(number: int) -> tuple[int, str | None]:
    create_markdown_artifact(f"# {number}", key="from-a-child")
    return os.getpid(), get_current_settings().api.url
