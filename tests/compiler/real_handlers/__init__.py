"""Handlers as users write them, each with what it has to answer, calculated in another way."""
