"""Pooling of complete-data analyses. Imports no torch."""
