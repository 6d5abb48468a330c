"""One file a page: a function from what was read to what its template shows."""
