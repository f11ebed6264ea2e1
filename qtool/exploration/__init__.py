"""``qtool search``: a front of measured plans, from a request to files."""
