"""Adversarial losses and regularisers: pure float32 functions of tensors, one value per sample."""
