"""What stored models and multiply-imputed data sets look like; no torch."""
