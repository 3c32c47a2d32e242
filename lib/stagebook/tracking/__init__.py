"""MLflow: its database, the runs and sweep runs sent to it, and the model registry; the only room that imports it.

The runner and sweeps send records with `sync` and `sweeps`; stages and the command line use `registry`.
"""
