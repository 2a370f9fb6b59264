"""The history of the schema, one step per version. Imports Alembic, so it is imported only where a step is to run."""
