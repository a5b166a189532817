"""Who a bearer token is (D-010). Issued keys and JWTs join here."""

import hmac

from pydantic import SecretStr

from orchestrator.domain.access import Principal, Scope
from orchestrator.domain.errors import Unauthenticated

ADMIN = Principal(id="admin", scopes=frozenset({Scope.ADMIN}))


class Authenticator:
    """Knows the bootstrap key of the settings."""

    def __init__(self, admin_api_key: SecretStr | None) -> None:
        self._admin = admin_api_key.get_secret_value().encode() if admin_api_key else None

    async def authenticate(self, token: str | None) -> Principal:
        """The principal of a bearer token. Raises `Unauthenticated`; compares in constant time."""
        if not token:
            raise Unauthenticated("No API key: send Authorization: Bearer YOUR_API_KEY")
        if self._admin is None or not hmac.compare_digest(token.encode(), self._admin):
            raise Unauthenticated("The API key is not valid")
        return ADMIN
