"""Results for reading and keeping: a page of HTML, and tables as CSV."""

from bayesgmm.report._page import write_report
from bayesgmm.report._tables import write_tables

__all__ = ["write_report", "write_tables"]
