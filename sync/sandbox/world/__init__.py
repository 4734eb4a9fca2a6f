"""What exists in the sandbox: apps, system users, Pages, tokens, quotas, faults."""
