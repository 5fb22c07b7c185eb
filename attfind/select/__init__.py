"""Selecting attributes from what a run measured."""
