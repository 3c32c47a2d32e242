"""What runs cost: rates of profiles, estimates, bills, budgets, trends and advice. Pure functions without I/O or clock,
for any room above; money is `Decimal`.
"""
