//! Tests that run the real programs: a master and workers as processes, spoken to over HTTP. See `tests/it`.
