"""From a Databricks job to the values of a parameter file, and the patches that give the job back when exported.

`source_job.select_job` and `importer` are the entrances, called by `stagebook databricks import` alone.
"""
