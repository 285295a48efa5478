"""The Usage pages: what was called, what it took and what it cost."""
