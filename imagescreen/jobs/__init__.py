"""Work that runs long and can be resumed."""
