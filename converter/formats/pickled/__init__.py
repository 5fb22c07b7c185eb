"""Pickles, read as data: no class is looked up and no function is called."""
