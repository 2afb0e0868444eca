"""Methods that are no configurations of the model."""
