"""Pure array code: no names, no tables, no plots."""
