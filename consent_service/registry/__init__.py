"""What may be asked: controllers, purposes, notices, recipients, forms."""
