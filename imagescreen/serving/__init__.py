"""What this process serves now: model, index and thresholds, always switched together."""
