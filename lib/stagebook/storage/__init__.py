"""Files on disk: atomic writes, the journal, run folders and their locks."""
