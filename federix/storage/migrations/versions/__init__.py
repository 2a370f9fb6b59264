"""The steps themselves; each file names the one before it. A step that was released is never changed."""
