"""Anatomy primitives, tissue tables with sources, CT and MR image formation."""
