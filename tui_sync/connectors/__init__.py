"""Places that hold files, behind one interface."""
