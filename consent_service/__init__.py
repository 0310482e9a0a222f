"""A service that records consents, proves them, and tells other systems whether a person may be contacted."""
