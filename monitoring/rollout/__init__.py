"""Takes a new version of a model into service step by step, and back at once where it does harm."""
