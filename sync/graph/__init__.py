"""Meta's Graph API: Page tokens, and what they really are."""
