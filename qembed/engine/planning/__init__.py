"""What fits a device and how fast it is: pure arithmetic, presets, and what was measured."""
