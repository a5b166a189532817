"""The surface of AgentOrchestra (O): users' own agents, their executions, configurations, webhooks and figures."""
