"""Stagebook: notebook stages in dependency order, tracked and reproducible."""
