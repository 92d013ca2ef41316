"""The fits of the tests of `inference` serve here as well."""

from tests.inference.conftest import em_fit, named, overlapping, overlapping_fit, table, vb_fit

__all__ = ["em_fit", "named", "overlapping", "overlapping_fit", "table", "vb_fit"]
