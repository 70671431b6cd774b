"""Every file that passes between stages: names, formats, checks, atomic writing. No other room knows a path."""
