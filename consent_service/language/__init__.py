"""What the service says, and in which language: catalogues, pages and mails."""
