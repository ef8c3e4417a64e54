"""A class over a term: what the gradebook, the results and the notebooks of several assignments say together."""
