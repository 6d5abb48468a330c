"""What `banister VERB` runs: a thin module a verb; pyproject.toml names them."""
