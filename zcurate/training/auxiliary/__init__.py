"""Other kinds of models trained in the background, whose held-out predictions join the members'."""
