"""Experimental: the screened search, which measures only the changes that could be among the strongest."""
