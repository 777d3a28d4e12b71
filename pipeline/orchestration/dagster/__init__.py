"""All code that uses Dagster: assets, triggers, its processes, and recovery of killed runs."""
