"""Intake: what a complete model is, where dropped files belong, and the store that keeps private copies by hash."""
