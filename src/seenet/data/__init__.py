"""From the waveform store to padded batches on the device."""
