"""Synthesis, a task: a generator from latents to images, trained against a discriminator."""
