"""Pages that show what was recorded and what monitoring found; loads no model."""
