"""Results as files: Markdown, Fountain, DOCX and JSON, each saying what generated it."""

from generation_service.pipeline.rendering.formats import FORMATS, Format, Rendered, render

__all__ = ["FORMATS", "Format", "Rendered", "render"]
