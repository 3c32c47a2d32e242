"""The vocabulary of the kit: frozen dataclasses without I/O, of pipelines, records, tables, prices, gates and sweeps.

Every room above imports it; it imports none.
"""
