"""Adversarial losses and regularisers: pure functions of tensors."""
