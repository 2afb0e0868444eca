"""Likelihoods p(x | eta) of a block of features, one file for each family."""
