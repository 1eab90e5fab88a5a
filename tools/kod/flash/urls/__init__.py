"""Ports that pyserial opens by URL, where its own way does not suit boards.

pyserial looks here first: `kod.flash.ports` enters this package in its list of handlers.
"""
