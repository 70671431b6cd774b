"""What runs the network: one interface (base), a module a runtime or tool, and select, which chooses."""
