"""Tests: a tree like the package's, ``chain`` for whole chains and ``support`` for what tests share."""
