"""A local Graph API: for trying the tool, and for testing applications."""
