"""What a conversion writes: networks, ledger, index, safetensors, recordings."""
