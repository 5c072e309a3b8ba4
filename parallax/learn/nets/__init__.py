"""Networks, and parts of them, of single methods; one file per method, `pyramids` for what several share."""
