"""When something may start: daily windows in a time zone, deadlines, the order of starts, and Quartz expressions. Pure
functions that take the clock as an argument, for `queue`, `databricks` and `config`.
"""
