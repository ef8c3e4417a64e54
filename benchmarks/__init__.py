"""Measurements that the README and the book quote, each with the command that makes it."""
