"""The client for threads. Made from `devora._async` by `sdks/python/make_sync.py`; only `runtime` is written by hand."""
