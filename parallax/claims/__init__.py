"""Claims of the literature, tested on the scores of a run."""
