"""Delta tables in folders, through delta-rs: the pandas and polars engines, the log, predicates, pruning and casting.

The only importer of `deltalake`; called by `spark`, `tables`, `engines`, `calibrate` and `system_tables`.
"""
