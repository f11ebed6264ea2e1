"""Passes that edit a model: its graph, its weights, or the parameters in its plan."""
