"""What a conversion writes: networks, ledger, index (docs/files.md); recordings (docs/recording.md)."""
