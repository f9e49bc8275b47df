"""Attacks from outside; each asserts the answer that it must get."""
