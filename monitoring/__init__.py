"""Watches the exchange log on a schedule; a process of its own."""
