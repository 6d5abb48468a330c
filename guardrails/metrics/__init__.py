"""What a process counts of what it does, and how Prometheus reads it."""
