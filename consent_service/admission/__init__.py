"""What limits repetition: idempotency, mail caps, throttles."""
