"""Readers and writers: a module a format."""
