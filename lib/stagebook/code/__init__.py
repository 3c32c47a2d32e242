"""What code a stage depends on: its own cells, and the modules of the project that its imports reach."""
