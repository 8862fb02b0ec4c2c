"""Unit vectors in, ranked matches out; is told of changes and knows no database."""
