"""What a compilation reports: the data, and the files written from them."""
