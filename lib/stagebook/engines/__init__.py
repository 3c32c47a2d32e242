"""What computes on tables: one Protocol, and the only doors to delta-rs, pandas and Spark."""
