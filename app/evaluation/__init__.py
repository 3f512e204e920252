"""Measuring from the page: what was asked for, carrying it out, and what came out as figures.

The measuring itself stands in ``lacache_core.evaluation``; nothing in here knows Gradio.
"""
