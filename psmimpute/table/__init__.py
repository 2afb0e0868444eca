"""Typed tables: what each column is, what is missing, and how values become numbers."""
