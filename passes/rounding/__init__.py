"""Integers of weights chosen by data: one layer at a time, from what the layer multiplies."""
