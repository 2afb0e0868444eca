"""Training, importance sampling and drawing: torch at work."""
