"""What speaks at a port, for each `module` of `listen`: reading begins at `kind.py`."""
