"""Metrics, the tidy table, and statistics."""
