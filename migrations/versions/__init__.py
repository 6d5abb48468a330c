"""The steps of the schema, oldest first by name; each is run once."""
