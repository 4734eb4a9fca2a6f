"""What the facts about a token mean, and what follows for one secret."""
