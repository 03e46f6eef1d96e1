"""Speech backbones: (waveform, lengths) to (frames, frame mask)."""
