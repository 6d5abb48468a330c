"""What we allow: reviewed rules, and the only place that compares a score with a number."""
