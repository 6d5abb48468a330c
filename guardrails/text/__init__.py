"""Text before it is measured: one canonical reading, its sentences, its windows."""
