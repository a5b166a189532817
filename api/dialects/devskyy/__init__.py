"""The surface of DevSkyy (S): sign-in, and orchestration seen as partnerships, decisions and deployment."""
