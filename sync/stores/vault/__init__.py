"""HashiCorp Vault and OpenBao, KV version 2."""
