"""What runs cost: rates of profiles, estimates, and the bill of a record. Pure: no I/O, no clock; money is Decimal."""
