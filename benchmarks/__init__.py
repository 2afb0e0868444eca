"""Measurements of psmimpute, one module for each protocol."""
