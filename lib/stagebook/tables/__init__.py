"""Named Delta tables: schema checks, one commit per run and stage, reads of pinned versions, maintenance of files.

The command line, the runner's rooms and `stage` may call it; it reaches data only through `delta` and an engine.
"""
