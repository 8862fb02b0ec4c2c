"""Pictures and words to unit vectors: model registry, fingerprint, encoder, batcher, fetching of weights.

Importing this package, its registry or its encoder loads neither torch nor open_clip; loading a model does.
"""
