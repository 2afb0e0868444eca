"""Readers of fitted models, one library a file; none imports the library it reads."""
