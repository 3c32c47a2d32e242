"""Advice that makes a pipeline cheaper: rules about its profiles, stages and tables, and the machines that are enough.
Only `stagebook advise` calls it; like all of `costs` it is pure.
"""
