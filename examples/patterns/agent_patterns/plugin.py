"""The plugin of the patterns: ORCHESTRATOR_PLUGINS=agent_patterns.plugin."""

from orchestrator.authoring import Plugin

from agent_patterns.agents import AGENTS
from agent_patterns.code.chaining import CHAINING
from agent_patterns.code.desk import DESK_CASE
from agent_patterns.code.polishing import POLISHING
from agent_patterns.code.routing import ROUTING
from agent_patterns.code.shipping import SHIPPING
from agent_patterns.code.voting import VOTING
from agent_patterns.code.workers import WORKERS

CODE = (CHAINING, ROUTING, VOTING, WORKERS, POLISHING, DESK_CASE, SHIPPING)
plugin = Plugin(name="patterns", agents=AGENTS, code_workflows=CODE)
