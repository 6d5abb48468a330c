"""How an exchange becomes a trace, for those who have an OpenTelemetry collector."""
