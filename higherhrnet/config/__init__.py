"""yaml files of the official layout and overrides, read into typed values once."""
