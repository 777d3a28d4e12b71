"""Networks that give features of images, and the features of many images."""
