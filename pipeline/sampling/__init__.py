"""From seeds to latents, styles and images: one differentiable sampler for all that draws."""
