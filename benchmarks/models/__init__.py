"""Time of a training step of our models against the same models built from PyTorch's own layers."""
