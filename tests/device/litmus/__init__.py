"""Litmus programs of the edges between host and grid, and the checker that decides them."""
