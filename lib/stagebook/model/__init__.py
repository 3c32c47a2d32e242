"""The vocabulary: frozen dataclasses without I/O, shared by every layer above."""
