"""Sampling: seeds to latents, styles and images, by one differentiable sampler."""
