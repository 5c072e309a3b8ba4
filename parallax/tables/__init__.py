"""Tables of a run: summaries of the tidy table, laid out and written."""
