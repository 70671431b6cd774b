"""The stages of the guide: each reads files, calls the array functions, and writes files.

A stage takes plain values, no argparse and no config; it can be called by a script or by another program.
"""
