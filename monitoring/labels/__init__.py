"""Reviewers' labels as rows that a detector is measured and calibrated on."""
