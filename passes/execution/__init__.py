"""Running models on data: sessions, data sets, observers, and the simulation of a plan."""
