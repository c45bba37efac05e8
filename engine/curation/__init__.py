"""Accepted samples to a training set: what the student will read, frozen as a manifest."""
