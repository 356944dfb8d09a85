"""From two listings to a plan. Nothing in here holds an object that can write to an endpoint."""
