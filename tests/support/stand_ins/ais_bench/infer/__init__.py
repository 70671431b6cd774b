"""Stand-in for the front end of ais_bench; see interface.py."""
