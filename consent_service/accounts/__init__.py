"""Who may call: API keys and operators."""
