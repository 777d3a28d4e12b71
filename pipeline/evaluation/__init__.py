"""How good a run is: features of images, statistics of them, and what is decided by them."""
