"""One parser a corpus: a folder on disk becomes a manifest."""
