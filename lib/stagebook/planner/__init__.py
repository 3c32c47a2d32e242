"""What a run would do before it starts: which stages run and why, how long they take, on which engine, at which price.

The runner asks `decide.make_plan` and `predict`; nothing here starts or writes anything.
"""
