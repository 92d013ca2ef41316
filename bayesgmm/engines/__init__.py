"""Engines: options objects that fit a declaration. None knows another."""
