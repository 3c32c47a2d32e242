"""When something may start: hours of the day in a time zone, deadlines, and whose turn it is. Clocks are arguments."""
