"""A pipeline as a Databricks job, and back: `export` writes a bundle, `import_` reads a job, `validate` checks either.

Pure functions from mappings to mappings and text, called by `stagebook databricks` alone; a stage imports only the
prefix of the kit's own parameters.
"""
