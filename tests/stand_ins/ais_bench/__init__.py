"""Stand-in for ais_bench (ascend_tools section 2)."""
