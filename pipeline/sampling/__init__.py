"""Turn seeds into latents, styles and images; everything that generates images uses this."""
