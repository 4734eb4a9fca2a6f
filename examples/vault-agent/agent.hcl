# Vault Agent or `bao agent` writes the Page's secret to a file in memory, and writes it again when it changes:
#   bao agent -config=agent.hcl
# What the app does on Graph's errors 190, 10, 100, 200 and 368: docs/how-to/read-a-token.md.

vault {
  address = "https://vault.internal:8200"
}

auto_auth {
  method "approle" {
    config = {
      role_id_file_path                   = "/run/secrets/vault_role_id"
      secret_id_file_path                 = "/run/secrets/vault_secret_id"
      remove_secret_id_file_after_reading = false
    }
  }
}

template_config {
  # The default of 5 minutes is how long an app would use a replaced token.
  static_secret_render_interval = "15s"
}

template {
  destination          = "/run/page-tokens/berlin.json"
  perms                = "0400"
  error_on_missing_key = true
  contents             = <<-EOT
    {{ with secret "secret/data/meta/pages/berlin" }}{{ .Data.data | toJSON }}{{ end }}
  EOT
}
