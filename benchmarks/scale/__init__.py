"""Grading on a cluster: throughput by number of workers, what the scheduler adds, and an estimate for many."""
