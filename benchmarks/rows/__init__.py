"""One module a row of the table; each has ``measure(effort)``."""
