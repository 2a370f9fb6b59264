"""XEP-0313: Message Archive Management. Reading begins in `module.py`."""
