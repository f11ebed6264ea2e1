"""What Acme adds to qtool: a pass, a solver and a machine."""
