"""What the sandbox's Graph API answers."""
