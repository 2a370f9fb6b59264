"""What `postgres.py` is made of: connections, the pool of them, and how batches are run. Imports txpostgres."""
