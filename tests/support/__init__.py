"""What tests share: batches, guards, console scripts and fabricated results."""
