"""Telling: how a notice leaves the house. Knows no ledger, no store and no runtime; whoever sends hands all in."""
