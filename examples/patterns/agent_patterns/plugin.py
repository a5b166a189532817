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
from agent_patterns.plans.chaining import CHAINING_PLAN
from agent_patterns.plans.desk import DESK_PLAN
from agent_patterns.plans.polishing import POLISHING_PLAN
from agent_patterns.plans.routing import ROUTING_PLAN
from agent_patterns.plans.shipping import SHIPPING_PLAN
from agent_patterns.plans.voting import VOTING_PLAN
from agent_patterns.plans.workers import WORKERS_PLAN

CODE = (CHAINING, ROUTING, VOTING, WORKERS, POLISHING, DESK_CASE, SHIPPING)
PLANS = (CHAINING_PLAN, ROUTING_PLAN, VOTING_PLAN, WORKERS_PLAN, POLISHING_PLAN, DESK_PLAN, SHIPPING_PLAN)
plugin = Plugin(name="patterns", agents=AGENTS, workflows=PLANS, code_workflows=CODE)
