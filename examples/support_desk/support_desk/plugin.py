"""The plugin of the support desk: ORCHESTRATOR_PLUGINS=support_desk.plugin."""

from orchestrator.authoring import Plugin

from support_desk.desk import DESK, SUPPORT

plugin = Plugin(name="support_desk", agents=(DESK,), workflows=(SUPPORT,))
