"""`[[deployments]]` on a Prefect server: checked, compared with what is there, and put there."""
