"""Real database servers, each started for whoever needs one to itself: the bench, the faults, and tests."""
