"""The queue: runs and sweeps that wait until they may start, and the worker that starts them.

The command line calls it; entries are kept in a sqlite file of this user: a crash loses none and runs none twice.
"""
