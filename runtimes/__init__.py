"""Runtimes: one engine each behind one contract."""
