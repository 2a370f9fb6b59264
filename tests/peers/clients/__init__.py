"""Real XMPP clients, each as a program that a test commands; see `console.py` for the language they share."""
