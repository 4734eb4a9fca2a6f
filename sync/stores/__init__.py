"""Where applications read the tokens: Vault and OpenBao, AWS Secrets Manager, files."""
