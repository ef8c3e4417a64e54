"""Peak memory and time of naive, tiled and fused attention against the length of the sequence."""
