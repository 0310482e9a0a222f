"""How the service reaches PostgreSQL, and the PostgreSQL that it brings along."""
