"""Is anybody treated worse? Rates by group and language, and the same prompt with terms swapped."""
