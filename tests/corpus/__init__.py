"""Bad input, family by family: what a user may hand over by mistake, or a stranger on purpose (docs/bad-input.md)."""
