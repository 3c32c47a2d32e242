"""Costs, runs and machines of this project in Delta tables with Databricks' own names, columns and types, such as
`system.billing.usage`. The runner writes them when a run ends; `stagebook cost` queries and reconciles them.
"""
