"""The systems that are compared. `base.py` says what a scenario may ask of each."""
