"""``python -m course_lib.runner FD [--confined]``: serve slots on the socket FD."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # read when torch and NumPy are imported; a process with threads must not fork

from course_lib.runner.server import main  # noqa: E402 - after the settings that its imports read

if __name__ == "__main__":
    main()
