"""Finished clips on this disk: fetching, keeping, forgetting and serving them."""
