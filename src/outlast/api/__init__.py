"""Everything a person or agent can ask, without a word of transport."""
