"""Multiply-imputed data and their analyses. Imports no torch."""
