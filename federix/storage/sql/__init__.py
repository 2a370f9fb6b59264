"""What all SQL back ends share: the schema, the statements, and the repositories written with them."""
