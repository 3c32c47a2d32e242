"""Notebooks as files: reading any format, the parameters cell, and what the cells are called."""
