"""What others see of a cycle: logs."""
