"""Networks that are particular to one method."""
