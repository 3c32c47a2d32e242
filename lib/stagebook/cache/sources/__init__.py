"""Digests of source code for cache keys: a notebook's own cells, and the project's modules that its imports reach.

Only `cache` and the runner that opens the cache call it; parsed sources are stored by content in `store`.
"""
