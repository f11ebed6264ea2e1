"""``qtool check``: models compiled, measured and held against tolerances and a committed baseline."""
