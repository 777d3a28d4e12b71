"""`python -m pipeline.cli` is `growgan`."""

from pipeline.cli import main

main()
