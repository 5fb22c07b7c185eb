"""The few things that every room needs, once each: errors, whole files, digests, text."""
