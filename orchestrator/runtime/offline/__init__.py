"""The offline drafter: real drafts with no model, for a machine on which no provider is configured (A9)."""

from orchestrator.runtime.offline.drafter import draft, offline_model

__all__ = ["draft", "offline_model"]
