"""Notebook files of any format: their cells, their parameters, and what those written for Databricks use.

Every room above may call it; nothing is executed or written.
"""
