"""What those who watch over the log are told: its checkpoints, outside the service's own reach."""
