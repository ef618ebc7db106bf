"""Texts for GPUs: CUDA C++ and MSL by one printer with a dialect each, WGSL by another; targets.py has the table."""
