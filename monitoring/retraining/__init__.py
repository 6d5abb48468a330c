"""From an alert to a better model: dataset, tuning, evaluation, registration, each on record."""
