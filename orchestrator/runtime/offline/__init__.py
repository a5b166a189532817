"""The offline drafter: it drafts answers without a model, while no provider is configured."""

from orchestrator.runtime.offline.drafter import draft, offline_model

__all__ = ["draft", "offline_model"]
