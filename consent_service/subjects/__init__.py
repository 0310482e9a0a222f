"""Who it is about; the only home of contact points."""
