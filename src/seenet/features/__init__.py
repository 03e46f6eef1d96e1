"""Features of a frozen encoder, computed once per clip and kept in the cache.

In: waveforms and a frozen backbone. Out: pooled vectors of every layer, memory-mapped.
"""
