"""The screen: every number on it comes from ``lacache_core``."""
