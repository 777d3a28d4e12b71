"""Images from a trained run, for `growgan generate`: single images, grids and sheets of styles."""
