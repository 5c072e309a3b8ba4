"""Figures of a run, drawn from the tidy table."""
