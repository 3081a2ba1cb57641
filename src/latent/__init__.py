"""Evaluation workflows and AI pipelines on Prefect and MLflow: paid work is never lost or redone."""

__all__ = ["__version__"]

__version__ = "0.1.0"
