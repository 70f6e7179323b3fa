"""Drives whole systems through the same work and compares them. docs/performance.md says what each scenario means."""
