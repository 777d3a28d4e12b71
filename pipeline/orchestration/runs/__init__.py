"""One run of the pipeline: its state, its outcome, its page and its notifications."""
