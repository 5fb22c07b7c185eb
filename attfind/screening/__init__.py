"""Screened search: the effects that matter, measured first."""
