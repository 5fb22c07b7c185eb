"""One program a claim in the README; each prints a ratio measured in one run."""
