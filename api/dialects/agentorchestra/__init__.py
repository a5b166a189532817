"""The surface of AgentOrchestra (O): users' agents, their executions, configurations, webhooks and metrics."""
