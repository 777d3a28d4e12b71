"""Read files of unknown origin without executing anything in them."""
