"""Stand-in for ais_bench."""
