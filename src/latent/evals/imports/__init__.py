"""Evaluations that another tool has run: their rows, outputs and scores, with our statistics."""
