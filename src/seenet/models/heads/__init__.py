"""Heads: from pooled vectors to the logits of the emotions."""
