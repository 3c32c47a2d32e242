"""Spark over Delta tables through Spark Connect: one server per machine, or a cluster; no other room imports pyspark.

`engines` opens `SparkEngine` and `CatalogEngine`; the runner and `stagebook spark` start and stop the server.
"""
