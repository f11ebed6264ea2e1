"""Questions about a model: the work its layers do, what it costs, and what losing precision does to it."""
