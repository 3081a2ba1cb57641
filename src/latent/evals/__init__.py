"""Evaluation: scorers, judges, statistics, and what an evaluation leaves behind."""
