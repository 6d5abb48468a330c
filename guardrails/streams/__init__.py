"""Streams: checked while they grow, and let go as they pass."""
