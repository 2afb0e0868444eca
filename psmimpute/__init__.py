"""Multiple imputation of mixed-type tables with deep generative pattern-set mixtures."""
