"""Batches: files of texts, one JSON line in and one out, over many processes or machines."""
