"""Similarities in, thresholds with their support out (numpy only)."""
