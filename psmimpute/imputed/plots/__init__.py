"""Plots of multiply-imputed data, one a file. matplotlib is imported when one is drawn."""
