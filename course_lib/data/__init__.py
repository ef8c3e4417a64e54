"""Corpora, digits and scenes: generated from a seed or shipped with a dependency, never downloaded."""
