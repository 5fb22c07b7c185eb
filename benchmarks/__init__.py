"""One program for each claim in the README; each prints a ratio that was measured in one run. `common` is what several need."""
