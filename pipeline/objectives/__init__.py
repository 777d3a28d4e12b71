"""Adversarial losses and regularisers: pure functions of tensors, float32, one value a sample."""
