"""Statistics of the tidy table. The case is the unit; what each one is and why: docs/statistics.md."""
