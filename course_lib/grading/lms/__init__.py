"""Gradebook files of learning management systems: filled in as they were downloaded, never invented."""
