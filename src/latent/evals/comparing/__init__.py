"""Evaluations against each other: which is better, by how much, and what else differs between them."""
