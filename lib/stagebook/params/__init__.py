"""Parameter files: read, merged, checked, and turned into a `Pipeline`.

`load.load` is the entrance. Everything is checked before the first kernel starts, and all findings
come in one `InvalidParameters`.
"""
