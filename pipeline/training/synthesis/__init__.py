"""The task of synthesis: latents → images, trained against a discriminator."""
