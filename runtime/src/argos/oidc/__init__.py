"""The relying party: signing in with an OpenID Connect provider (OIDC-1 to OIDC-6)."""
