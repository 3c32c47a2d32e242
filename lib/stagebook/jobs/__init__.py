"""A pipeline as a Databricks job, and back: pure functions from mappings and dataclasses to mappings."""
