"""Networks, and parts of them, that one method alone uses; one file per method."""
