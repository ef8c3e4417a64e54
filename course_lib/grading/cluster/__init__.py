"""Running submissions on the workers of a Dask cluster."""
