"""Which engine a stage computes on: a pure decision from sizes, kinds of work, the machine and a calibration."""
