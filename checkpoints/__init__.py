"""The registry of released files, and the embedded release."""
