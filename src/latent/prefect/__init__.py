"""The engine room: flows, tasks and rows on Prefect's own engine."""
