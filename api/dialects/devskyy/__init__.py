"""The surface of DevSkyy (S): sign-in, partnerships, decisions and deployment."""
