"""Measurements of the project: ``python -m benchmarks NAME``. Nothing here is a test."""
