"""``python -m course_lib.runner [--confined] FD``: serve slots on the socket FD."""

import argparse
import os

for _name in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # read when torch and NumPy are imported; a process with threads must not fork

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m course_lib.runner", description=__doc__)
    parser.add_argument("control", type=int, help="number of the inherited socket")
    parser.add_argument("--confined", action="store_true", help="stands in a sandbox; give each slot its own")
    options = parser.parse_args()
    if options.confined:
        from course_lib.runner import confine

        confine.own_user_namespace(inside=0)
        confine.own_process_namespace()  # leaves a process behind that only waits: before anything large is imported

    from course_lib.runner.server import main

    main(options.control, confined=options.confined)
