"""Check a source (`growgan data check`): measure it, and compare with a contract and a report."""
