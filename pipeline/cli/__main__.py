"""Run `growgan` by `python -m pipeline.cli`."""

from pipeline.cli import main

main()
