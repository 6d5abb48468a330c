"""Whether what is measured now still looks like what was measured before."""
