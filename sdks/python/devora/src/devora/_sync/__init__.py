"""The client for threads: made from `devora._async` by `sdks/python/make_sync.py`, `runtime` by hand."""
