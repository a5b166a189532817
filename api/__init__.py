"""The HTTP layer: parse, call one service, render."""
