"""Parameter files: read, merged, checked all at once, and turned into a frozen `Pipeline`.

`load.load` is the entrance for every room above; nothing is started or written.
"""
