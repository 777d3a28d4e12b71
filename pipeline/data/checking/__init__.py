"""Check a source: measure it, hold it to a contract, and compare it with an earlier report."""
