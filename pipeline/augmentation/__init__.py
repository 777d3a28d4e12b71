"""Augmentation of the images that the discriminator sees: pure, differentiable functions."""
