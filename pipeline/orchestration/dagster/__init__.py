"""Everything that knows Dagster: assets, triggers, its processes, and recovery of killed runs."""
