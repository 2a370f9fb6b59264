"""What holds for every back end that is a server of its own; `OnPostgres` and `OnMariaDb` say how they differ."""
