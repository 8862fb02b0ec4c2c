"""A small sample catalogue with pictures drawn by code, for the first start and for tests."""
