"""A soak: clients of every kind ask while processes die and models reload; every answer is checked."""
