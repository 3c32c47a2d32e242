"""Many runs: the configurations of a sweep, and the queue that starts runs when they may start.

Each is an ordinary run in a process of its own (`child`), so that one that fails, or is killed, ends nothing else.
"""
