"""
The numbers of an evaluation: pure functions on arrays, each with its formula and its source.

Means with intervals, bounds for missing rows, differences, repeats, agreement, classification, ranking.
"""
