"""A Graph API to play with: for trying the tool, and for testing applications."""
