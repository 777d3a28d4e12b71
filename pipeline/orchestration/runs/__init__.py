"""Records of a pipeline run: its state, its outcome, its page and its notifications."""
