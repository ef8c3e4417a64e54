"""Settings that every test process needs before PyTorch is imported."""

import os

# Two threads in each of two test processes are many times slower than one (they wait for each other spinning).
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

from hypothesis import settings  # noqa: E402

from tests.counts import count  # noqa: E402

settings.register_profile("test", deadline=None)
settings.register_profile("soak", deadline=None, max_examples=1000)
settings.load_profile(count("test", soak="soak"))
