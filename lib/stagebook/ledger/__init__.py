"""What runs cost as Delta tables with Databricks' own names, columns and types: `system.billing.usage` and the rest."""
