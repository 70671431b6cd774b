"""All that sees arguments, standard streams, a terminal or a signal: a module for each command."""
