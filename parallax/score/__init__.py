"""Metrics, the tidy table, tables and figures."""
