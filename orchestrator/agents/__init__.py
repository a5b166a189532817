"""The 28 built-in agents, in seven squads."""
