"""Named Delta tables: contracts checked on write, one commit per run and stage, reads of pinned versions."""
