"""Readers of files that anybody may have written: nothing in them is executed."""
