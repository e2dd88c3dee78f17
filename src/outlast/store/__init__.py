"""Where rows live: one protocol, two stores, and the only SQL in the house."""
