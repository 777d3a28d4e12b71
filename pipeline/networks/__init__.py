"""Networks: one file a family, on `network`, `growing` and `styled`, which several share."""
