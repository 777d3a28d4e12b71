"""Turn seeds into latents, styles and images, for sheets, evaluation and export."""
