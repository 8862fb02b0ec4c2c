"""The HTTP interface: controllers and wire types."""
