"""The chain of dependencies, examined one by one: what works, what does not, and who must do what."""
