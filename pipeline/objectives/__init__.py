"""Adversarial losses and regularisers: pure float32 functions, most with one value per sample."""
