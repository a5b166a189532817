"""The surface of AI Orchestra (A): chat in sessions, over HTTP and one socket per client."""
