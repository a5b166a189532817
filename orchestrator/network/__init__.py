"""What every client of another process needs: a circuit breaker, and the addresses of this machine."""
