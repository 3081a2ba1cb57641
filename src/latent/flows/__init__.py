"""Flows that are ready to run in any workspace: `latent run NAME`, `latent new flow MINE --from NAME`."""

from __future__ import annotations

READY = {
    "batch_evaluation": "latent.flows.batch_evaluation.flow",
    "comparison": "latent.flows.comparison.flow",
    "document_ingestion": "latent.flows.document_ingestion.flow",
    "imported_evaluation": "latent.flows.imported_evaluation.flow",
    "rescoring": "latent.flows.rescoring.flow",
}
"""The module of each ready flow, by its name."""

__all__ = ["READY"]
