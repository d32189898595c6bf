"""Pictures and pages of what was measured: PNG, and HTML in a single file that opens offline."""
