"""The pattern-set mixture model, one factor a file."""
