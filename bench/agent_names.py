"""What the product's agents, the bare app and the peers ask the model server for."""

from typing import Final

MODEL: Final = "bench"
"""It answers after the server's own time."""
TOOL_CALLS: Final = 10
TOOL_MODEL: Final = f"bench-tools{TOOL_CALLS}-0ms"
TOKENS: Final = 4000
TEXT_MODEL: Final = f"bench-tokens{TOKENS}-10000ms"
ASSISTANT: Final = "You look items up with your tool, one after the other, then you answer."
