"""What people are told of, and what became of it: rules, life cycle, records, notifications."""
