"""The classifier and its components.

In: a batch of waveforms. Out: class probabilities, losses and pooled embeddings. YAML files choose the backbone, the
pooling, the heads and the auxiliary task.
"""
