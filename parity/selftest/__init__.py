"""Mutation test of the verifier: inject one fault at a time; each must be detected, located and named."""
