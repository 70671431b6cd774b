"""Decode in its plainest form, on full-resolution maps: the oracle for higherhrnet.decode, and a stand-in for the
official code where no checkout of that is at hand.
"""

from .people import decode, decode_maps

__all__ = ["decode", "decode_maps"]
