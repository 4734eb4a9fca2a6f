"""The log, and what the process owes the machine: signals, crash reports, private memory."""
