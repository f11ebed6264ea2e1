"""report.html: one file with everything in it, that opens without a network."""
