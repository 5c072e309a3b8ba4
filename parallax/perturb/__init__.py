"""Known perturbations: what is drawn is saved, and what was saved can be replayed."""
