"""Networks: one file a family, which makes blocks once per resolution and assembles them."""
