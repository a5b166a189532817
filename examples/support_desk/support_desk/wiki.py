"""The wiki of the shop as an MCP server: the program speaks over stdio."""

from mcp.server import MCPServer

PAGES = {"returns": "A parcel can be returned within 30 days.", "delivery": "Delivery takes two days."}
server = MCPServer("wiki")


@server.tool()
async def search(words: str) -> list[str]:
    """Find pages by words."""
    return [name for name, text in PAGES.items() if any(word in f"{name} {text}".lower() for word in words.split())]


@server.tool()
async def read_page(name: str) -> str:
    """Read a page by its name."""
    return PAGES[name]


@server.tool()
async def delete_page(name: str) -> str:
    """Delete a page. The desk does not allow this tool."""
    return PAGES.pop(name)


if __name__ == "__main__":
    server.run("stdio")
