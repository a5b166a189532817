"""The plugin of this package. The entry point names it, or ORCHESTRATOR_PLUGINS=acme_agents.plugin."""

from orchestrator.authoring import Plugin

from acme_agents.embargo import EMBARGO
from acme_agents.publisher import PUBLISHER
from acme_agents.release import RELEASE
from acme_agents.release_writer import RELEASE_WRITER

plugin = Plugin(
    name="acme",
    agents=(RELEASE_WRITER, PUBLISHER),
    workflows=(RELEASE,),
    code_workflows=(EMBARGO,),
)
