"""Configuration, plan, manifest and progress of a run."""
