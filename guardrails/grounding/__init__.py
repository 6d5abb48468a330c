"""Documents behind the answers: taken in, found again, and held against what the model says."""
