"""What exists in the sandbox: businesses, Pages, tokens, quotas, faults."""
