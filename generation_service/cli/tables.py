"""Tables as commands about documents and programs print them."""

from rich.table import Table

from generation_service.cli.terminal import say

STYLES = {"completed": "green", "failed": "red"}


def plain_table(*headings: str) -> Table:
    """A table without lines; `headings` name texts below `terminal.documents.`."""
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(say(f"documents.{heading}"), overflow="fold")
    return table
