"""Spark with Delta through Spark Connect: one server per machine, or a cluster. The only door to pyspark."""
