"""What people read of a run: its tables written out, and the HTML report."""
